// How long a credential is kept, by a clock of the test's own.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { Cache } from "../src/cache.js";
import { CredentialSchema } from "../src/generated/credvault/v1/credential_pb.js";
import { FetchCredentialRequestSchema } from "../src/generated/credvault/v1/vault_service_pb.js";
import { Credential } from "../src/index.js";

let now = 0;
let cache = new Cache(2, () => now);
beforeEach(() => {
  cache = new Cache(2, () => now);
});

function credential(tag: string, seconds: number): Credential {
  const message = create(CredentialSchema, { tag, cacheDuration: { seconds: BigInt(seconds) } });
  return new Credential(message, create(FetchCredentialRequestSchema), "");
}

test("until its time is over and no longer", () => {
  const kept = credential("a", 60);
  cache.put("key", kept);
  now += 59_999;
  assert.equal(cache.get("key"), kept);
  now += 1;
  assert.equal(cache.get("key"), undefined);
});

test("not at all if the vault says so", () => {
  cache.put("key", credential("a", 60));
  cache.put("key", credential("b", 0));
  assert.equal(cache.get("key"), undefined);
});

test("no more than the limit: the eldest goes first", () => {
  cache.put("over", credential("a", 1));
  cache.put("old", credential("b", 60));
  now += 1000;
  cache.put("new", credential("c", 60));
  assert.ok(cache.get("old"), "the place of what is over was free");
  cache.put("newest", credential("d", 60));
  assert.equal(cache.get("old"), undefined);
  assert.ok(cache.get("new"));
});

test("a dropped one is gone under every key", () => {
  cache.put("one", credential("a", 60));
  cache.put("two", credential("a", 60));
  cache.drop("a");
  assert.deepEqual([cache.get("one"), cache.get("two")], [undefined, undefined]);
});
