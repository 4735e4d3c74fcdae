// A real OpenID provider for tests/it/oidc/peer.rs: clients register themselves, refresh tokens rotate, and one that
// comes a second time ends its grant. The pages let every name in, with any password.
//
//   node tests/peers/oidc/server.mjs NODE_MODULES     (the folder that has oidc-provider)
//
// It prints its issuer, and ends when its standard input does. GET /counts says what it has seen. POST /present/spent and
// POST /present/newest send a refresh token that it has seen, as a thief of the token and of the client's key would, and
// answer as the token endpoint does.

import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// The library's notices go to standard output otherwise, which the test closes once it has read the issuer.
console.info = console.error;

const library = join(resolve(process.argv[2]), "oidc-provider", "lib");
const { Provider } = await import(pathToFileURL(join(library, "index.js")));
const { default: MemoryAdapter } = await import(pathToFileURL(join(library, "adapters", "memory_adapter.js")));

// The refresh token of the last refresh, the one that was given out last, and the client of both.
const seen = { spent: "", newest: "", client: "" };
const counts = { grants: 0, errors: 0, refreshes: 0, reuses: 0, revoked: 0, registrations: 0, authentications: {} };
const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clientAuthMethods: ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
  enabledJWA: { clientAuthSigningAlgValues: ["ES256", "PS256", "RS256"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `The account ${id}` }) }),
  claims: { openid: ["sub"], profile: ["name"] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  // Seconds. Short, so that a test sees an end.
  ttl: { AccessToken: 40, RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 600 },
});
provider.on("grant.success", (ctx) => {
  counts.grants += 1;
  const method = ctx.oidc.client?.tokenEndpointAuthMethod ?? ctx.oidc.client?.clientAuthMethod;
  counts.authentications[method] = (counts.authentications[method] ?? 0) + 1;
  if (ctx.oidc.params?.grant_type === "refresh_token") {
    counts.refreshes += 1;
    seen.spent = ctx.oidc.params.refresh_token;
  }
  if (ctx.body?.refresh_token) {
    seen.newest = ctx.body.refresh_token;
    seen.client = ctx.oidc.client.clientId;
  }
});
provider.on("grant.error", (_, error) => {
  counts.errors += 1;
  if (/already used/.test(error.error_detail ?? "")) counts.reuses += 1;
});
provider.on("refresh_token.destroyed", () => (counts.revoked += 1));
provider.on("grant.revoked", () => (counts.revoked += 1));
provider.on("registration_create.success", () => (counts.registrations += 1));
provider.on("server_error", (_, error) => console.error(error));

// The test has no key of the client. For this one request the client is a public one, which needs none.
async function present(which) {
  const clients = new MemoryAdapter("Client");
  const registered = await clients.find(seen.client);
  const open = { token_endpoint_auth_method: "none", token_endpoint_auth_signing_alg: undefined };
  await clients.upsert(seen.client, { ...registered, ...open });
  const form = { grant_type: "refresh_token", refresh_token: seen[which], client_id: seen.client };
  const answer = await fetch(`${issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
  await clients.upsert(seen.client, registered);
  return answer.text();
}

const serve = provider.callback();
server.on("request", (request, response) => {
  if (request.url === "/counts") {
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify(counts));
  }
  if (request.method === "POST" && request.url.startsWith("/present/")) {
    return present(request.url.slice("/present/".length)).then((answer) => response.end(answer));
  }
  return serve(request, response);
});
process.stdin.on("end", () => process.exit(0)).resume();
console.log(issuer);
