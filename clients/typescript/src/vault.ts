// Calls to a vault, for a tenant and user.

import {
  clone,
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Metadata, type ServiceError, status as Code } from "@grpc/grpc-js";

import { Cache } from "./cache.js";
import { Channel, type Files } from "./channel.js";
import { Credential } from "./credential.js";
import { traceIdOf, VaultError } from "./errors.js";
import {
  BatchFetchCredentialsRequestSchema,
  type FetchCredentialRequest,
  FetchCredentialRequestSchema,
  VaultService,
} from "./generated/credvault/v1/vault_service_pb.js";

const MAX_BATCH = 100;

/** How to reach a vault. */
export interface VaultOptions extends Files {
  /** The name in the vault's certificate, if it is not that of the target. */
  readonly serverName?: string;
  /** How many milliseconds a call may take, if it does not say; 10,000 unless given. */
  readonly timeout?: number;
  /** How many credentials to keep in memory at most, 1,000 unless given; 0 keeps none. */
  readonly cached?: number;
}

/** Whom to call for: by name, for a service that policy trusts with it, or by a token. */
export interface Identity {
  readonly tenant?: string;
  /** The user's id: printable ASCII. With another one every call rejects. */
  readonly user?: string;
  /** A token, or a function that returns a current one. */
  readonly token?: string | (() => string | Promise<string>);
}

/** What to fetch: `FetchCredentialRequest` in the protos explains it. */
export type Selector = Omit<MessageInitShape<typeof FetchCredentialRequestSchema>, "$typeName" | "rejectedTag">;

/** What a call may say for itself. */
export interface CallOptions {
  /** How many milliseconds it may take. */
  readonly timeout?: number;
}

/**
 * One vault, reached with a service's certificate. The files are read anew when they change. The constructor throws if one
 * cannot be read, or if certificate and key are no pair.
 */
export class Vault {
  readonly #channel: Channel;
  readonly #cache: Cache;
  readonly #timeout: number;

  /** `target` is "HOST:PORT", or "dns:///HOST:PORT" to spread calls over all addresses of a name. */
  constructor(target: string, options: VaultOptions) {
    const { serverName = "", timeout = 10_000, cached = 1000 } = options;
    this.#channel = new Channel(target, options, serverName);
    this.#cache = new Cache(cached);
    this.#timeout = timeout;
  }

  /** Calls for a tenant and user. Cheap: make one for each request that you answer. */
  caller(identity: Identity): Caller {
    return new Caller(this.#channel, this.#cache, this.#timeout, identity);
  }

  /** Ends the connection. */
  close(): void {
    this.#channel.close();
  }
}

/** Calls for one tenant and user. Every method rejects with a `VaultError`. */
export class Caller {
  readonly #channel: Channel;
  readonly #cache: Cache;
  readonly #timeout: number;
  readonly #identity: Identity;

  constructor(channel: Channel, cache: Cache, timeout: number, identity: Identity) {
    this.#channel = channel;
    this.#cache = cache;
    this.#timeout = timeout;
    this.#identity = identity;
  }

  /** A credential, from memory if one is kept there. */
  async fetch(selector: Selector, options: CallOptions = {}): Promise<Credential> {
    const request = create(FetchCredentialRequestSchema, selector);
    const headers = await this.#headers();
    return this.#cache.get(keyOf(headers, request)) ?? this.#fetch(request, "", headers, options);
  }

  /**
   * What to use after the provider has answered 401 to `credential`, which is forgotten. `message.rejection` of the result
   * says whether to repeat the request to the provider. The reason REAUTHORIZATION_REQUIRED says that the account's owner
   * has to connect again.
   */
  async rejected(credential: Credential, options: CallOptions = {}): Promise<Credential> {
    this.#cache.drop(credential.tag);
    return this.#fetch(credential.request, credential.tag, await this.#headers(), options);
  }

  /**
   * An outcome for each selector, in their order; in as many calls as their number and size take. Nothing comes from memory,
   * and nothing is kept there.
   */
  async fetchAll(selectors: readonly Selector[], options: CallOptions = {}): Promise<(Credential | VaultError)[]> {
    const wanted = selectors.map((selector) => create(FetchCredentialRequestSchema, selector));
    const outcomes: (Credential | VaultError)[] = [];
    while (outcomes.length < wanted.length) {
      const asked = wanted.slice(outcomes.length, outcomes.length + MAX_BATCH);
      const batch = create(BatchFetchCredentialsRequestSchema, { requests: asked });
      const method = VaultService.method.batchFetchCredentials;
      const { response, traceId } = await this.#call(method, batch, await this.#headers(), options);
      for (const [index, { outcome, status }] of response.results.entries()) {
        if (outcome.case === "credential") {
          outcomes.push(new Credential(outcome.value, asked[index] as FetchCredentialRequest, traceId));
          continue;
        }
        const error = VaultError.ofStatus(status as NonNullable<typeof status>);
        // The answer is full: what follows comes with the next call. The first of a call always fits.
        if (error.reason === "ANSWER_FULL" && index > 0) {
          break;
        }
        outcomes.push(error);
      }
    }
    return outcomes;
  }

  /** Calls any RPC: `caller.call(ConnectionService.method.listConnections, { provider: "shopify" })`. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const message = create(method.input, request);
    return (await this.#call(method, message, await this.#headers(), options)).response;
  }

  /** Calls an RPC that streams its responses. It ends at its timeout. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>> {
    const { path, encode, decode } = codecs(method);
    const message = create(method.input, request);
    const headers = metadata(await this.#headers());
    const [client, ended] = this.#channel.take();
    const call = client.makeServerStreamRequest(path, encode, decode, message, headers, this.#terms(options));
    // A stream that its reader has left ends with an error that no other listener takes.
    call.on("error", () => undefined);
    try {
      yield* call;
    } catch (error) {
      throw VaultError.ofCall(error as ServiceError);
    } finally {
      call.cancel();
      ended();
    }
  }

  async #fetch(
    request: FetchCredentialRequest,
    rejectedTag: string,
    headers: Headers,
    options: CallOptions,
  ): Promise<Credential> {
    const asked = clone(FetchCredentialRequestSchema, request);
    asked.rejectedTag = rejectedTag;
    const { response, traceId } = await this.#call(VaultService.method.fetchCredential, asked, headers, options);
    if (!response.credential) {
      throw new TypeError("the vault has answered without a credential");
    }
    const credential = new Credential(response.credential, request, traceId);
    this.#cache.put(keyOf(headers, request), credential);
    return credential;
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    headers: Headers,
    options: CallOptions,
  ): Promise<{ response: MessageShape<O>; traceId: string }> {
    const [client, ended] = this.#channel.take();
    const { path, encode, decode } = codecs(method);
    const sent = metadata(headers);
    return new Promise((resolve, reject) => {
      let traceId = "";
      const done = (error: ServiceError | null, response?: MessageShape<O>) => {
        ended();
        if (error || response === undefined) {
          reject(VaultError.ofCall(error as ServiceError));
        } else {
          resolve({ response, traceId });
        }
      };
      const call = client.makeUnaryRequest(path, encode, decode, request, sent, this.#terms(options), done);
      call.on("metadata", (received) => (traceId = traceIdOf(received)));
    });
  }

  #terms({ timeout = this.#timeout }: CallOptions): { deadline: number } {
    return { deadline: Date.now() + timeout };
  }

  async #headers(): Promise<Headers> {
    const { tenant = "", user = "", token = "" } = this.#identity;
    const current = typeof token === "function" ? await token() : token;
    const headers: Headers = [
      ["x-tenant-id", tenant],
      ["x-user-id", user],
      ["authorization", current && `Bearer ${current}`],
    ];
    const given = headers.filter(([, value]) => value !== "");
    given.forEach(([name, value]) => check(name, value));
    return given;
  }
}

type Headers = [name: string, value: string][];

function metadata(headers: Headers): Metadata {
  const sent = new Metadata();
  headers.forEach(([name, value]) => sent.set(name, value));
  return sent;
}

/** Throws for a value that gRPC cannot send, or would send without its blanks. */
function check(name: string, value: string): void {
  if (/^[\x20-\x7e]*$/.test(value) && value.trim() === value) {
    return;
  }
  const rule = "must be printable ASCII characters without a blank at either end";
  throw new VaultError(`the header ${name} ${rule}; use an id of that form, or encode it`, {
    code: Code.INVALID_ARGUMENT,
    reason: "FIELDS_INVALID",
    metadata: {},
    violations: [{ field: name, rule }],
    retryDelay: undefined,
    traceId: "",
  });
}

/**
 * What a kept credential depends on: who asks, and what for. With another token it is fetched again, for the token may be
 * another user's.
 */
function keyOf(headers: Headers, request: FetchCredentialRequest): string {
  const bytes = toBinary(FetchCredentialRequestSchema, request);
  return JSON.stringify([headers, Buffer.from(bytes).toString("base64")]);
}

function codecs<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O> | DescMethodServerStreaming<I, O>,
) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    encode: (request: MessageShape<I>) => Buffer.from(toBinary(method.input, request)),
    decode: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}
