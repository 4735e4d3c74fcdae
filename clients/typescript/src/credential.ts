// A fetched credential.

import type { Credential as CredentialMessage } from "./generated/credvault/v1/credential_pb.js";
import type { FetchCredentialRequest } from "./generated/credvault/v1/vault_service_pb.js";

/** A credential, ready for use. Its text and its JSON, in logs for example, show no secret. */
export class Credential {
  readonly #message: CredentialMessage;

  constructor(
    message: CredentialMessage,
    /** The request that it answers, without `rejectedTag`. */
    readonly request: FetchCredentialRequest,
    /** Under which the vault's audit log knows the fetch. */
    readonly traceId: string,
  ) {
    this.#message = message;
  }

  /** All that the vault has said; do not print it. */
  get message(): CredentialMessage {
    return this.#message;
  }

  /** The secret fields, by name. */
  get fields(): Readonly<Record<string, string>> {
    return this.#message.fields;
  }

  /** The beginning of every URL, without a slash at the end; empty if the provider has none. */
  get baseUrl(): string {
    return this.#message.requestAuth?.baseUrl ?? "";
  }

  /** The headers that every request to the provider needs. */
  get headers(): Readonly<Record<string, string>> {
    return this.#message.requestAuth?.headers ?? {};
  }

  /** The query parameters that every request to the provider needs, not yet percent-encoded. */
  get query(): Readonly<Record<string, string>> {
    return this.#message.requestAuth?.query ?? {};
  }

  /** Which credential this is, for `Caller.rejected`. It reveals nothing. */
  get tag(): string {
    return this.#message.tag;
  }

  /** For how many milliseconds from its arrival it may be kept. */
  get cacheMilliseconds(): number {
    const duration = this.#message.cacheDuration;
    return duration ? Number(duration.seconds) * 1000 + duration.nanos / 1e6 : 0;
  }

  /** What `JSON.stringify` writes. */
  toJSON(): Record<string, string> {
    const { provider, connectionId, version } = this.#message;
    return { provider, connectionId, version: `${version}`, traceId: this.traceId };
  }

  toString(): string {
    const { provider, connectionId, version } = this.#message;
    return `Credential of ${provider}, connection ${connectionId}, version ${version}`;
  }
}
