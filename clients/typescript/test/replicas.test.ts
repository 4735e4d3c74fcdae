// Against servers of this file's own, which are no vaults: what happens over several replicas, and at errors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServiceDefinition, status as Code } from "@grpc/grpc-js";

import { FetchCredentialResponseSchema } from "../src/generated/credvault/v1/vault_service_pb.js";
import { Vault, VaultService } from "../src/index.js";
import { filesOf, FOLDER, refused } from "./harness.js";

const ANSWER = Buffer.from(
  toBinary(FetchCredentialResponseSchema, create(FetchCredentialResponseSchema, { credential: {} })),
);

/** Answers fetches and puts; is unavailable for the first calls if it shall. */
class Replica {
  calls = 0;
  unavailable = 0;
  readonly server = new Server();

  async start(port = 0): Promise<number> {
    const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
    const method = (name: string) => ({
      path: `/credvault.v1.VaultService/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes.serialize,
      requestDeserialize: bytes.deserialize,
      responseSerialize: bytes.serialize,
      responseDeserialize: bytes.deserialize,
    });
    const service: ServiceDefinition = { fetch: method("FetchCredential"), put: method("PutCredential") };
    const answer = (_: unknown, done: (error: object | null, answer?: Buffer) => void) => {
      this.calls++;
      if (this.unavailable > 0) {
        this.unavailable--;
        done({ code: Code.UNAVAILABLE, details: "not now" });
      } else {
        done(null, ANSWER);
      }
    };
    this.server.addService(service, { fetch: answer, put: answer });
    const read = (name: string) => readFileSync(join(FOLDER, name));
    const pair = { private_key: read("server.key"), cert_chain: read("server.pem") };
    const credentials = ServerCredentials.createSsl(read("ca.pem"), [pair], true);
    return new Promise((resolve, reject) => {
      this.server.bindAsync(`127.0.0.1:${port}`, credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
  }
}

async function start(count: number) {
  const replicas = Array.from({ length: count }, () => new Replica());
  const ports = await Promise.all(replicas.map((replica) => replica.start()));
  const target = `ipv4:${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
  const vault = new Vault(target, { ...filesOf("app"), serverName: "localhost" });
  after(() => {
    vault.close();
    replicas.forEach((replica) => replica.server.forceShutdown());
  });
  return { replicas, ports, caller: vault.caller({ tenant: "demo" }) };
}

test("calls go to every replica", async () => {
  const { replicas, caller } = await start(2);
  for (let count = 0; count < 200; count++) {
    await caller.fetch({ provider: "shopify" });
    if (replicas.every((replica) => replica.calls > 10)) {
      return;
    }
  }
  assert.fail(replicas.map((replica) => replica.calls).join());
});

test("reads are repeated while a replica is unavailable", async () => {
  const { replicas, caller } = await start(1);
  const [replica] = replicas as [Replica];
  replica.unavailable = 2;
  await caller.fetch({ provider: "shopify" });
  assert.equal(replica.calls, 3);
});

test("changes are not", async () => {
  const { replicas, caller } = await start(1);
  const [replica] = replicas as [Replica];
  replica.unavailable = 1;
  const error = await refused(caller.call(VaultService.method.putCredential, {}));
  assert.deepEqual([error.code, error.message, replica.calls], [Code.UNAVAILABLE, "not now", 1]);
});

test("the first read after a restart is served", async () => {
  const { replicas, ports, caller } = await start(1);
  await caller.fetch({ provider: "shopify" });
  replicas[0]?.server.forceShutdown();
  // The pauses between attempts to connect get longer meanwhile, as far as they may.
  for (const end = performance.now() + 3000; performance.now() < end; ) {
    assert.equal((await refused(caller.fetch({ provider: "xero" }))).code, Code.UNAVAILABLE);
  }
  const restarted = new Replica();
  await restarted.start(ports[0]);
  after(() => restarted.server.forceShutdown());
  await caller.fetch({ provider: "xero" });
  assert.equal(restarted.calls, 1);
});
