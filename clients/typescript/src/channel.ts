// The connection to the vault, which follows the files of its certificates.

import { readFileSync, statSync } from "node:fs";

import { Client, type ClientOptions, credentials } from "@grpc/grpc-js";

/** Files that are replaced one after the other are a pair only once they rest. */
const REST_MILLISECONDS = 1000;

const OPTIONS: ClientOptions = {
  "grpc.service_config": readFileSync(new URL("../../service-config.json", import.meta.url), "utf8"),
  // Without pings, a replica that disappears makes calls wait until their deadline.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // A vault that is back is found again while a read is still being repeated; gRPC itself would wait for up to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/** The files of certificates and key, PEM. */
export interface Files {
  /** The authorities that vouch for the vault. */
  readonly authority: string;
  /** The service's certificate with its chain; the vault knows the service by it. */
  readonly certificate: string;
  /** The certificate's private key. */
  readonly key: string;
}

/** A gRPC client with the certificates that are in the files now. */
export class Channel {
  #client: Client;
  #state: string | undefined;
  #changing: { state: string; since: number } | undefined;
  /** The calls in progress of each client: one with certificates of before ends with its last call. */
  readonly #calls = new Map<Client, number>();

  constructor(
    readonly target: string,
    readonly files: Files,
    readonly serverName: string,
  ) {
    this.#state = this.#present();
    this.#client = this.#open();
  }

  /** The client for the next call, and what to call when that has ended. */
  take(): [Client, () => void] {
    this.#follow();
    const client = this.#client;
    this.#calls.set(client, (this.#calls.get(client) ?? 0) + 1);
    return [client, () => this.#ended(client)];
  }

  /** Ends the connection. */
  close(): void {
    this.#client.close();
  }

  #follow(): void {
    const state = this.#present();
    if (state === undefined || state === this.#state) {
      this.#changing = undefined;
    } else if (this.#changing?.state !== state) {
      this.#changing = { state, since: performance.now() };
    } else if (performance.now() - this.#changing.since >= REST_MILLISECONDS) {
      this.#state = state;
      this.#changing = undefined;
      this.#reopen();
    }
  }

  #reopen(): void {
    const before = this.#client;
    try {
      this.#client = this.#open();
    } catch {
      // Files that do not fit together are left alone until they change again.
      return;
    }
    if (!this.#calls.has(before)) {
      before.close();
    }
  }

  #ended(client: Client): void {
    const left = (this.#calls.get(client) ?? 1) - 1;
    if (left > 0) {
      this.#calls.set(client, left);
      return;
    }
    this.#calls.delete(client);
    if (client !== this.#client) {
      client.close();
    }
  }

  /** What changes with the files; undefined while one is missing. */
  #present(): string | undefined {
    try {
      const { authority, certificate, key } = this.files;
      const found = [authority, certificate, key].map((file) => statSync(file));
      return found.map((file) => `${file.ino} ${file.size} ${file.mtimeMs}`).join(" ");
    } catch {
      return undefined;
    }
  }

  #open(): Client {
    const { authority, certificate, key } = this.files;
    const [roots, chain, secret] = [authority, certificate, key].map((file) => readFileSync(file));
    const named = this.serverName && {
      "grpc.default_authority": this.serverName,
      "grpc.ssl_target_name_override": this.serverName,
    };
    return new Client(this.target, credentials.createSsl(roots, secret, chain), { ...OPTIONS, ...named });
  }
}
