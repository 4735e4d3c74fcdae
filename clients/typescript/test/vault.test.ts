// Against a running vault.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { copyFileSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { inspect } from "node:util";

import { AdminService, type Caller, Credential, ErrorReason, status, Vault, VaultError } from "../src/index.js";
import { ADDRESS, create, fetches, filesOf, refused, UNKNOWN, vault } from "./harness.js";

const CANARY = "CANARY of the client for TypeScript";
const shared = vault();
const caller = shared.caller({ tenant: "demo" });
after(() => shared.close());

test("a credential is ready for use and shows no secret", async () => {
  const credential = await caller.fetch({ connectionId: await create(caller, CANARY) });
  assert.deepEqual(credential.fields, { token: CANARY });
  assert.match(credential.headers["Authorization"] ?? "", new RegExp(CANARY));
  assert.equal(credential.traceId.length, 32);
  const shown = [`${credential}`, JSON.stringify(credential), inspect(credential, { depth: 9, showHidden: true })];
  assert.ok(!shown.join().includes(CANARY), shown.join());
});

test("it is kept for one caller and one purpose", async () => {
  const connectionId = await create(caller, CANARY);
  const first = await caller.fetch({ connectionId });
  assert.equal(await shared.caller({ tenant: "demo" }).fetch({ connectionId }), first);
  assert.equal(await fetches(caller, connectionId), 1);
  await caller.fetch({ connectionId, purpose: "another" });
  assert.equal(await fetches(caller, connectionId), 2);
  await refused(shared.caller({ tenant: "globex" }).fetch({ connectionId }));
});

test("a rejected one is forgotten", async () => {
  const connectionId = await create(caller, CANARY);
  const first = await caller.fetch({ connectionId });
  const elsewhere = await caller.fetch({ connectionId, purpose: "elsewhere" });
  const second = await caller.rejected(first);
  assert.equal(second.tag, first.tag, "the provider has no test, so the vault gives the same again");
  assert.ok(second.message.rejection);
  assert.equal(second.request.rejectedTag, "");
  assert.equal(await caller.fetch({ connectionId }), second);
  assert.notEqual(await caller.fetch({ connectionId, purpose: "elsewhere" }), elsewhere);
  assert.equal(await fetches(caller, connectionId), 4);
});

test("many come in as many calls as they need", async () => {
  // Answers end at about 3 MiB; these are 6 MB.
  const large: string[] = [];
  for (let count = 0; count < 50; count++) {
    large.push(await create(caller, "x".repeat(60_000)));
  }
  const selectors = large.map((connectionId) => ({ connectionId }));
  const outcomes = await caller.fetchAll([{ connectionId: UNKNOWN }, ...selectors]);
  const [missing, ...found] = outcomes;
  assert.ok(missing instanceof VaultError);
  assert.deepEqual([missing.reason, missing.traceId.length], ["CONNECTION_NOT_FOUND", 32]);
  const ids = found.map((outcome) => outcome instanceof Credential && outcome.message.connectionId);
  assert.deepEqual(ids, large);
});

test("an error says what a program needs", async () => {
  const unknown = await refused(caller.fetch({ connectionId: UNKNOWN }));
  assert.deepEqual([unknown.code, unknown.reason], [status.NOT_FOUND, "CONNECTION_NOT_FOUND"]);
  assert.ok(unknown.reason in ErrorReason);
  assert.equal(unknown.traceId.length, 32);
  const wrong = await refused(caller.fetch({ provider: "Wrong Provider" }));
  assert.deepEqual(wrong.violations.map((violation) => violation.field), ["provider"]);
  const missing = await refused(caller.fetch({ provider: "stripe" }));
  assert.deepEqual([missing.reason, missing.metadata], ["CREDENTIAL_NOT_CONFIGURED", { provider: "stripe" }]);
  assert.equal(missing.retryDelay, undefined);
});

test("a user whose id no header can carry is refused before anything is sent", async () => {
  for (const user of ["jürgen@shop.example", " u1", "u\n1"]) {
    const named = shared.caller({ tenant: "demo", user });
    const wrong = await refused(named.fetch({ provider: "shopify" }));
    assert.deepEqual([wrong.code, wrong.reason, wrong.traceId], [status.INVALID_ARGUMENT, "FIELDS_INVALID", ""]);
    assert.deepEqual(wrong.violations.map((violation) => violation.field), ["x-user-id"]);
    assert.match(wrong.message, /^the header x-user-id must be printable ASCII/);
    assert.ok(!wrong.message.includes(user));
  }
  await shared.caller({ tenant: "demo", user: "a b@shop.example" }).fetch({ provider: "shopify" });
});

test("the certificate says who calls", async () => {
  const reporter = vault("reporter");
  const denied = await refused(reporter.caller({ tenant: "demo" }).fetch({ provider: "shopify" }));
  reporter.close();
  assert.equal(denied.reason, "POLICY_DENIED");
  assert.equal(denied.metadata["service"], "spiffe://dev.local/reporter");
});

test("an RPC that streams gives its responses one by one", async () => {
  const platform = vault("operator");
  const operator = platform.caller({});
  const tenantId = `typescript-${randomUUID()}`;
  await operator.call(AdminService.method.createTenant, { tenantId });
  const rotated = async (tenantId: string) => {
    const states = [];
    for await (const response of operator.stream(AdminService.method.rotateTenantKey, { tenantId })) {
      states.push(response.progress?.running);
    }
    return states;
  };
  assert.equal((await rotated(tenantId)).at(-1), false);
  for await (const response of operator.stream(AdminService.method.rotateTenantKey, { tenantId, watch: true })) {
    assert.ok(response.progress);
    break;
  }
  assert.equal((await refused(rotated("nowhere"))).reason, "TENANT_NOT_FOUND");
  platform.close();
});

test("a call ends at its deadline", async () => {
  const late = await refused(caller.fetch({ provider: "shopify" }, { timeout: -1 }));
  assert.equal(late.code, status.DEADLINE_EXCEEDED);
});

test("a vault that is not there is unavailable", async () => {
  const nowhere = new Vault("127.0.0.1:1", filesOf("app"));
  const error = await refused(nowhere.caller({ tenant: "demo" }).fetch({ provider: "shopify" }));
  nowhere.close();
  assert.deepEqual([error.code, error.reason], [status.UNAVAILABLE, ""]);
});

test("renewed files are read", async () => {
  const place = mkdtempSync(join(tmpdir(), "credvault-"));
  const file = (name: string) => join(place, name);
  const files = { authority: file("authority"), certificate: file("certificate"), key: file("key") };
  const write = (service: string) => {
    for (const [name, source] of Object.entries(filesOf(service))) {
      copyFileSync(source, file("unfinished"));
      renameSync(file("unfinished"), file(name));
    }
  };
  write("reporter");
  const changing = new Vault(ADDRESS, files);
  const changed = changing.caller({ tenant: "demo" });
  assert.equal((await refused(changed.fetch({ provider: "shopify" }))).reason, "POLICY_DENIED");
  rmSync(files.authority);
  assert.equal((await refused(changed.fetch({ provider: "shopify" }))).reason, "POLICY_DENIED");
  write("app");
  const credential = await allowed(changed, Date.now() + 20_000);
  changing.close();
  rmSync(place, { recursive: true });
  assert.equal(credential.message.provider, "shopify");
});

test("files that are no pair are refused", () => {
  assert.throws(() => new Vault(ADDRESS, { ...filesOf("app"), key: filesOf("server").key }));
  assert.throws(() => new Vault(ADDRESS, { ...filesOf("app"), key: "none.key" }), /none\.key/);
});

test("a token is asked for with each call, and decides what is kept", async () => {
  let asked = 0;
  const bearer = shared.caller({ token: async () => `token-${++asked}` });
  for (const count of [1, 2]) {
    assert.equal((await refused(bearer.fetch({ provider: "shopify" }))).reason, "TOKEN_INVALID");
    assert.equal(asked, count);
  }
});

async function allowed(changed: Caller, end: number): Promise<Credential> {
  for (;;) {
    try {
      return await changed.fetch({ provider: "shopify" });
    } catch (error) {
      assert.ok(error instanceof VaultError && error.reason === "POLICY_DENIED" && Date.now() < end, `${error}`);
      await setTimeout(100);
    }
  }
}
