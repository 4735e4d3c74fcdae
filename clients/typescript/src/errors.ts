// What a vault says when it refuses a call.

import { fromBinary, type Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { status as Code, type Metadata, type ServiceError } from "@grpc/grpc-js";

import type { ErrorReason } from "./generated/credvault/v1/error_pb.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "./generated/google/rpc/status_pb.js";

export const TRACE_ID = "x-trace-id";
const STATUS_DETAILS = "grpc-status-details-bin";

/** A reason that this copy of the protos knows. A later vault may send others: treat those by their code. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** A field of the request that breaks a rule. */
export interface Violation {
  readonly field: string;
  readonly rule: string;
}

/** What a `VaultError` says beside its message. */
export interface Facts {
  /** The gRPC status code: one of `status`, which the package exports. */
  readonly code: Code;
  /** The reason; empty if the vault was not reached, or did not answer in time. */
  readonly reason: Reason | (string & {});
  /** Facts for programs, such as the provider. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that are wrong, each with its rule. */
  readonly violations: readonly Violation[];
  /** After how many milliseconds another attempt makes sense; absent if waiting does not help. */
  readonly retryDelay: number | undefined;
  /** Under which the vault's log and audit log know the call; empty if the vault was not reached. */
  readonly traceId: string;
}

/** A call that failed, or an item of a batch. The message says what happened and what to do; it has no secret. */
export class VaultError extends Error implements Facts {
  readonly code: Code;
  readonly reason: Reason | (string & {});
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly Violation[];
  readonly retryDelay: number | undefined;
  readonly traceId: string;

  constructor(message: string, facts: Facts) {
    super(message);
    this.name = "VaultError";
    this.code = facts.code;
    this.reason = facts.reason;
    this.metadata = facts.metadata;
    this.violations = facts.violations;
    this.retryDelay = facts.retryDelay;
    this.traceId = facts.traceId;
  }

  /** The error of a `google.rpc.Status`, such as that of an item of a batch. */
  static ofStatus(status: Status): VaultError {
    const info = detail(status, ErrorInfoSchema);
    const delay = detail(status, RetryInfoSchema)?.retryDelay;
    const violations = detail(status, BadRequestSchema)?.fieldViolations ?? [];
    const { trace_id: traceId = "", ...metadata } = info?.metadata ?? {};
    return new VaultError(status.message, {
      code: status.code,
      reason: info?.reason ?? "",
      metadata,
      violations: violations.map(({ field, description }) => ({ field, rule: description })),
      retryDelay: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
      traceId,
    });
  }

  /** The error of a call that gRPC has raised. */
  static ofCall(error: ServiceError): VaultError {
    const encoded = error.metadata?.get(STATUS_DETAILS)[0];
    if (encoded instanceof Uint8Array) {
      return VaultError.ofStatus(fromBinary(StatusSchema, encoded));
    }
    return new VaultError(error.details, {
      code: error.code,
      reason: "",
      metadata: {},
      violations: [],
      retryDelay: undefined,
      traceId: traceIdOf(error.metadata),
    });
  }
}

/** The trace id that an answer names. */
export function traceIdOf(metadata: Metadata | undefined): string {
  return metadata?.get(TRACE_ID)[0]?.toString() ?? "";
}

function detail<T extends Message>(status: Status, schema: GenMessage<T>): T | undefined {
  for (const any of status.details) {
    const found = anyUnpack(any, schema);
    if (found) {
      return found;
    }
  }
  return undefined;
}
