// A walk through consents in a real browser: `credvault dev --simulator` serves, Chromium clicks, and the program and
// the pages say what happened.
//
//   node tests/browser/walk.mjs PROGRAM GRPCURL CHROMIUM [--keep]     (NODE_PATH names the folder of the packages; scripts/browser sets it)

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { launch } from "./browser.mjs";
import { inspect, tabulate } from "./design.mjs";
import { album } from "./pictures.mjs";

const [program, grpcurl, executablePath] = process.argv.slice(2);
const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "credvault-walk-"));
const ends = [() => rm(folder, { recursive: true })];

/// Starts something and waits until it has printed what matches.
async function start(command, args, pattern, stream = "stdout") {
  const child = spawn(command, args, { cwd: folder });
  ends.push(() => child.kill());
  let printed = "";
  const ended = new Promise((resolve) => child.on("close", (code) => resolve({ code, printed })));
  const match = await new Promise((resolve, reject) => {
    const look = (text) => {
      printed += text;
      const found = printed.match(pattern);
      if (found) resolve(found);
    };
    child.stdout.on("data", stream === "stdout" ? look : (text) => (printed += text));
    child.stderr.on("data", stream === "stderr" ? look : (text) => (printed += text));
    ended.then(({ code }) => reject(new Error(`${args[0]} ended with ${code}: ${printed}`)));
  });
  return { child, match, ended };
}

const ports = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--public-address", "127.0.0.1:0"];
const simulator = ["--simulator", "--simulator-address", "127.0.0.1:0"];
const served = /Serving on localhost:(\d+)[^]*FetchCredential\n/;

async function dev(args) {
  const vault = await start(program, ["dev", ...ports, ...args], served);
  const provider = vault.match[0].match(/its provider: (\S+)\)/)?.[1];
  return { port: vault.match[1], provider, stop: async () => (vault.child.kill("SIGINT"), assert.equal((await vault.ended).code, 0)) };
}

/// Serves a page that opens an address in a window and shows the message that it gets, also in its own address. It closes
/// the window that has told it.
async function application() {
  const page = `<!doctype html><title>Application</title><button id="open">Connect</button><pre id="got"></pre><script>
    const url = new URLSearchParams(location.search).get("url");
    document.getElementById("open").onclick = () => window.open(url);
    const show = (message) => { document.getElementById("got").textContent = JSON.stringify(message); };
    addEventListener("message", (event) => {
      if (event.source === window) return;
      show({ origin: event.origin, ...event.data });
      event.source.close();
    });
    if (location.hash) show(Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  </script>`;
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(page));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  return `http://localhost:${server.address().port}`;
}

const [ours, theirs] = [await application(), await application()];
const first = await dev([]);
await first.stop();
const brand = `[pages]
name = "Shop & Co"
logo = "logo.svg"
accent = "#0b5cad"
support = "help@shop.example"
privacy_url = "https://shop.example/privacy"
home_url = "${ours}/accounts"`;
const logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 20"><rect width="80" height="20" fill="#0b5cad"/></svg>';
await writeFile(join(folder, "credvault-dev/logo.svg"), logo);
await appendFile(join(folder, "credvault-dev/credvault.toml"), `\n[public]\norigins = ["${ours}"]\n${brand}\n`);
const vault = await dev(simulator);
ends.push(vault.stop);
const browser = await launch(executablePath);
ends.push(() => browser.close());
const complaints = [];
const { picture, complete } = album("consent");

async function context(options = {}) {
  const made = await browser.newContext(options);
  made.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  made.on("weberror", (error) => complaints.push(String(error.error())));
  return made;
}

/// `credvault connections connect`: the address and the code that it prints, and how it ends.
async function connect(account) {
  const args = ["connections", "connect", "simulator", "--account", account, "--address", `https://localhost:${vault.port}`];
  const { match, ended } = await start(program, args, /(http:\/\/\S+)\s[^]*the code (\S+)\. Waiting/, "stderr");
  return { url: match[1], code: match[2], ended };
}

async function call(method, request) {
  const { stdout } = await run(
    grpcurl,
    ["-cacert", "ca.pem", "-cert", "app.pem", "-key", "app.key", "-H", "x-tenant-id: demo", "-d", JSON.stringify(request),
      `localhost:${vault.port}`, `credvault.v1.${method}`],
    { cwd: join(folder, "credvault-dev") },
  );
  return JSON.parse(stdout);
}

/// Turns the switches of the provider, whose address `dev` prints.
async function behave(behaviour) {
  const url = `${vault.provider}/control/behaviour`;
  const answer = await fetch(url, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(behaviour) });
  assert.ok(answer.ok, await answer.text());
  return url;
}

const titled = (page, title) => page.waitForFunction((title) => document.title === title, title);

async function aPersonConnectsAnAccount() {
  const page = await (await context()).newPage();
  const { url, code, ended } = await connect("main");
  await page.goto(url);
  await page.getByRole("button", { name: "Allow" }).click();
  await titled(page, "Connect this account?");
  await page.reload();
  await titled(page, "Connect this account?");
  assert.equal(await page.locator(".code").textContent(), code);
  assert.equal(new URL(page.url()).search, "", "the code does not stay in the address");
  await inspect(page, "confirm");
  await picture(page, "confirm", ["375-light", "1280-dark"], { ".code": "ABCD-EFGH" });
  await page.getByRole("button", { name: "Connect" }).click();
  await titled(page, "Connected");
  await inspect(page, "connected");
  await picture(page, "connected", ["375-dark"]);
  const { code: exit, printed } = await ended;
  assert.ok(exit === 0 && /state: +connected/.test(printed), printed);
  const { credential } = await call("VaultService/FetchCredential", { provider: "simulator", account_name: "main" });
  assert.ok(credential.fields.access_token && !credential.fields.refresh_token);
}

async function aPersonDeclines() {
  const page = await (await context()).newPage();
  const { url, ended } = await connect("declined");
  await page.goto(url);
  await page.getByRole("button", { name: "Deny" }).click();
  await titled(page, "Not connected");
  assert.equal(await page.getByText("CONSENT_DENIED").isVisible(), false, "the reason is among the details");
  assert.equal((await ended).code, 5);
  await inspect(page, "declined");
  await picture(page, "declined", ["1280-light"]);
  // What is loaded again ends nothing else.
  await page.reload();
  await titled(page, "Shop & Co");
}

async function aPersonDeclinesWhatWorks() {
  const page = await (await context()).newPage();
  const { url, ended } = await connect("main");
  await page.goto(url);
  await page.getByRole("button", { name: "Deny" }).click();
  await titled(page, "Not connected");
  const { code, printed } = await ended;
  assert.ok(code === 5 && /not connected/.test(printed), printed);
  const { credential } = await call("VaultService/FetchCredential", { provider: "simulator", account_name: "main" });
  assert.ok(credential.fields.access_token, "what was there goes on working");
}

async function aPersonCancels() {
  const page = await (await context()).newPage();
  const { url, ended } = await connect("cancelled");
  await page.goto(url);
  await page.getByRole("button", { name: "Allow" }).click();
  await titled(page, "Connect this account?");
  await page.getByRole("button", { name: "Cancel" }).click();
  await titled(page, "Not connected");
  assert.equal((await ended).code, 5);
}

async function anotherBrowserIsRefused() {
  const [mine, other] = [await (await context()).newPage(), await (await context()).newPage()];
  const { url } = await connect("stolen");
  await mine.goto(url);
  await mine.getByRole("button", { name: "Allow" }).waitFor();
  // The person who began the consent lures another person into finishing it, at the provider or from the beginning.
  await other.goto(mine.url());
  await other.getByRole("button", { name: "Allow" }).click();
  await titled(other, "This was begun elsewhere");
  await other.goto(url);
  await titled(other, "This was begun elsewhere");
  complaints.splice(0); // Chromium calls the two refusals errors.
}

async function aPageOpensAWindowAndCompletes() {
  const begin = { provider: "simulator", account_name: "popup", auth_mode: "oauth2_code" };
  const { connection } = await call("ConnectionService/CreateConnection", begin);
  const request = { connection_id: connection.id, return_origin: ours, session: "walk" };
  // A page of another origin opens the window, too, and receives no message.
  for (const origin of [theirs, ours]) {
    const { authorizationUrl, authorization_url = authorizationUrl } = await call("ConnectionService/BeginAuthorization", request);
    const made = await context();
    const page = await made.newPage();
    await page.goto(`${origin}/?url=${encodeURIComponent(authorization_url)}`);
    const popup = await Promise.all([made.waitForEvent("page"), page.click("#open")]).then(([popup]) => popup);
    const closed = origin === ours && popup.waitForEvent("close");
    await popup.getByRole("button", { name: "Allow" }).click();
    if (closed) await closed;
    // Where the message is not delivered, the window says where to go on, and does so after it was sent.
    else await popup.getByRole("link", { name: "Continue at" }).waitFor();
    const got = () => page.locator("#got").textContent();
    if (origin === theirs) {
      // The page's own message comes after whatever the window sent before it closed.
      await page.evaluate(() => new Promise((resolve) => {
        addEventListener("message", (event) => event.data === "after" && resolve());
        postMessage("after", location.origin);
      }));
      assert.equal(await got(), "");
      complaints.splice(0); // Chromium may call the message that is not delivered an error.
      continue;
    }
    await page.waitForFunction(() => document.getElementById("got").textContent);
    const message = JSON.parse(await got());
    assert.equal(message.type, "credvault.authorization");
    assert.equal(message.outcome, "returned");
    const done = await call("ConnectionService/CompleteAuthorization", { result: message.result, session: "walk" });
    assert.equal(done.connection.state, "CONNECTION_STATE_CONNECTED");
  }
}

/// The provider's page cuts its window off from the page that opened it; or there is no such page, as on a phone.
async function aWindowWithoutItsOpenerGoesToThePageInstead() {
  const { connection } = await call("ConnectionService/CreateConnection",
    { provider: "simulator", account_name: "cut", auth_mode: "oauth2_code" });
  for (const [cut, decision, returnUrl] of [[true, "Allow", ""], [true, "Deny", ""], [false, "Allow", `${ours}/connected`]]) {
    const request = { connection_id: connection.id, return_origin: ours, return_url: returnUrl, session: "walk" };
    const { authorizationUrl, authorization_url = authorizationUrl } = await call("ConnectionService/BeginAuthorization", request);
    const made = await context();
    const page = await made.newPage();
    await page.goto(`${ours}/?url=${encodeURIComponent(authorization_url)}`);
    let window = page;
    if (cut) {
      const opened = made.waitForEvent("page");
      const response = made.waitForEvent("response", (response) => response.url().includes("/authorize?"));
      const provider = await behave({ cut_opener: true });
      await page.click("#open");
      window = await opened;
      assert.equal((await response).headers()["cross-origin-opener-policy"], "same-origin", provider);
    } else {
      await page.goto(authorization_url);
    }
    await window.getByRole("button", { name: decision }).click();
    await window.waitForURL((url) => url.origin === ours && url.hash !== "");
    if (cut) assert.equal(await page.locator("#got").textContent(), "", "the page that opened the window receives no message");
    const message = JSON.parse(await window.locator("#got").textContent());
    assert.equal(message.type, "credvault.authorization");
    assert.equal(message.outcome, decision === "Allow" ? "returned" : "denied");
    await behave({});
    if (decision === "Deny") continue;
    if (returnUrl) assert.equal(new URL(window.url()).pathname, "/connected");
    const done = await call("ConnectionService/CompleteAuthorization", { result: message.result, session: "walk" });
    assert.equal(done.connection.state, "CONNECTION_STATE_CONNECTED");
  }
}

/// From the address to the end with nothing but a keyboard, in the language that the person chooses on the way.
async function aPersonConnectsByKeyboardInGerman() {
  const page = await (await context({ locale: "de-AT" })).newPage();
  const { url, ended } = await connect("keyboard");
  await page.goto(url);
  await page.getByRole("button", { name: "Allow" }).press("Enter");
  await titled(page, "Dieses Konto verbinden?");
  assert.deepEqual(await tabulate(page), ["Verbinden", "Abbrechen", "Hilfe: help@shop.example", "Datenschutz", "English"]);
  await page.getByRole("link", { name: "English" }).press("Enter");
  await titled(page, "Connect this account?");
  await page.getByRole("button", { name: "Connect" }).press("Enter");
  // The language that was chosen last lasts.
  await titled(page, "Connected");
  assert.equal((await ended).code, 0);
}

/// Without scripts, the page says where to continue, and the message goes along in the address.
async function aPersonWithoutScriptsReturnsByHand() {
  const { connection } = await call("ConnectionService/CreateConnection",
    { provider: "simulator", account_name: "without-scripts", auth_mode: "oauth2_code" });
  const request = { connection_id: connection.id, return_origin: ours, session: "walk" };
  const { authorizationUrl, authorization_url = authorizationUrl } = await call("ConnectionService/BeginAuthorization", request);
  const page = await (await context({ javaScriptEnabled: false })).newPage();
  await page.goto(authorization_url);
  await page.getByRole("button", { name: "Allow" }).click();
  await page.getByRole("link", { name: "Continue at" }).click();
  await page.waitForURL((url) => url.origin === ours);
  const message = Object.fromEntries(new URLSearchParams(new URL(page.url()).hash.slice(1)));
  assert.equal(message.outcome, "returned");
  const done = await call("ConnectionService/CompleteAuthorization", { result: message.result, session: "walk" });
  assert.equal(done.connection.state, "CONNECTION_STATE_CONNECTED");
}

/// Pages at the edges: where nothing is, where a consent is unknown, and in a frame of another page.
async function aPersonGetsLostAndFindsTheWayBack() {
  const made = await context();
  const page = await made.newPage();
  const { url } = await connect("lost");
  const site = new URL(url).origin;
  for (const [path, title] of [["/", "Shop & Co"], ["/accounts", "There is nothing here"], ["/oauth/start", "This address is incomplete"]]) {
    await page.goto(site + path);
    await titled(page, title);
    await inspect(page, path);
    assert.equal(await page.getByRole("img", { name: "Shop & Co" }).evaluate((logo) => logo.naturalWidth > 0), true);
    assert.equal(await page.getByRole("link", { name: "Back to Shop & Co" }).getAttribute("href"), `${ours}/accounts`);
  }
  // Every file is the vault's own, and is not loaded twice.
  const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  assert.ok(loaded.length >= 3 && loaded.every((name) => name.startsWith(`${site}/`)), loaded.join(" "));
  complaints.splice(0); // Chromium calls the answers 404 and 400 errors.
  await page.goto(theirs);
  await page.evaluate((src) => document.body.append(Object.assign(document.createElement("iframe"), { src })), `${site}/`);
  for (let waited = 0; complaints.length === 0 && waited < 100; waited += 1) await page.waitForTimeout(100);
  assert.match(complaints.splice(0).join(" "), /frame-ancestors/);
}

try {
  const walks = [
    aPersonConnectsAnAccount, aPersonDeclines, aPersonDeclinesWhatWorks, aPersonCancels, anotherBrowserIsRefused, aPageOpensAWindowAndCompletes,
    aWindowWithoutItsOpenerGoesToThePageInstead, aPersonConnectsByKeyboardInGerman, aPersonWithoutScriptsReturnsByHand,
    aPersonGetsLostAndFindsTheWayBack,
  ];
  for (const walk of walks) {
    await walk();
    assert.deepEqual(complaints, [], "the browser complains: a policy that a page breaks, or a script that fails");
    console.log(`${walk.name}: ok`);
  }
  await complete();
} finally {
  for (const end of ends.reverse()) await end();
}
process.exit(0);
