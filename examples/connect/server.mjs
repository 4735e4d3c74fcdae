// A back end with a page on which its customers connect accounts, by the vault's own connect page. It runs beside
// `credvault dev --simulator`, from the folder that has `credvault-dev`:
//
//   npm install --prefix clients/typescript && npm run build --prefix clients/typescript
//   node examples/connect/server.mjs        and open http://localhost:3000
//
// The environment has other addresses than those of `dev`: PORT is this server's own (`dev` then needs `--origin
// http://localhost:PORT`), CREDVAULT_ADDRESS is where the vault serves gRPC, CREDVAULT_URL where it serves browsers, and
// CREDVAULT_DEV its folder.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
// In a program of your own: from "credvault".
import { ConnectionService, Vault, VaultError } from "../../clients/typescript/dist/src/index.js";

const { PORT = "3000", CREDVAULT_ADDRESS = "localhost:7443", CREDVAULT_URL = "http://localhost:7480" } = process.env;
const { CREDVAULT_DEV = "credvault-dev" } = process.env;
const origin = `http://localhost:${PORT}`;
const file = (name) => `${CREDVAULT_DEV}/${name}`;
const vault = new Vault(CREDVAULT_ADDRESS, { authority: file("ca.pem"), certificate: file("app.pem"), key: file("app.key") });

/// The URL of a session for the user who is signed in. One browser can open it, so each visit gets a new one.
async function session(user) {
  const caller = vault.caller({ tenant: "demo", user });
  const { url } = await caller.call(ConnectionService.method.createConnectSession, { returnOrigin: origin });
  return url;
}

async function answer(request, response) {
  if (request.method === "POST" && request.url === "/session") {
    // Only the user's own page asks for it.
    if (request.headers.origin !== origin) return response.writeHead(403).end(`Open ${origin}`);
    const url = await session("user-1");
    return response.setHeader("content-type", "application/json").end(JSON.stringify({ url }));
  }
  const page = await readFile(new URL("index.html", import.meta.url), "utf8");
  response.setHeader("content-type", "text/html; charset=utf-8").end(page.replace("http://localhost:7480", CREDVAULT_URL));
}

createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    // A refusal of the vault says what to do, and has no secret.
    const refused = error instanceof VaultError;
    response.writeHead(refused ? 502 : 500).end(refused ? `${error.reason || "UNAVAILABLE"}: ${error.message}` : "");
  });
})
  .on("error", (error) => {
    console.error(`PORT ${PORT} cannot be used: ${error.message}`);
    process.exit(1);
  })
  .listen(PORT, "localhost", () => console.log(`Open ${origin}`));
