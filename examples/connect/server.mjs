// A back end with a page on which its customers connect accounts, by the vault's own connect page. It runs beside
// `credvault dev --simulator`, from the folder that has `credvault-dev`:
//
//   node examples/connect/server.mjs        and open http://localhost:3000
//
// A real back end calls CreateConnectSession by gRPC, with the token of its signed-in user; this one uses the command.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { promisify } from "node:util";

const ORIGIN = "http://localhost:3000";
const program = process.env.CREDVAULT ?? "credvault";
const run = promisify(execFile);

/// The URL of a session for the user who is signed in. It opens the page once, so each visit gets a new one.
async function session(user) {
  const command = ["connections", "connect-page", "--user", user, "--return-origin", ORIGIN, "--output", "json"];
  return JSON.parse((await run(program, command)).stdout).url;
}

createServer(async (request, response) => {
  try {
    if (request.method === "POST" && request.url === "/session") {
      // Only the user's own page asks for it.
      if (request.headers.origin !== ORIGIN) return response.writeHead(403).end();
      const url = await session("user-1");
      return response.setHeader("content-type", "application/json").end(JSON.stringify({ url }));
    }
    const page = await readFile(new URL("index.html", import.meta.url));
    response.setHeader("content-type", "text/html; charset=utf-8").end(page);
  } catch (error) {
    response.writeHead(500).end(String(error.stderr || error.message));
  }
}).listen(3000, "localhost", () => process.stdout.write(`Open ${ORIGIN}\n`));
