// A walk through the connect page in a real browser: `credvault dev --simulator` serves, a back end makes sessions, Chromium opens
// them in windows and frames, with fingers, keyboard and without scripts.
//
//   node tests/browser/connect.mjs PROGRAM CHROMIUM [--keep]     (NODE_PATH names the folder of the packages; scripts/browser sets it)

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as forward } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { launch } from "./browser.mjs";
import { inspect, tabulate } from "./design.mjs";
import { album } from "./pictures.mjs";

const [program, executablePath] = process.argv.slice(2);
const require = createRequire(join(process.env.NODE_PATH, "connect.js"));
const { devices } = require("playwright-core");
const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "credvault-connect-"));
const ends = [() => rm(folder, { recursive: true })];

async function serve(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/// A port that is free at the moment.
async function freePort() {
  const server = await serve(() => {});
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/// The page of an application. It embeds the address in its query, or opens it in a window, and lists the messages that it gets.
const applicationPage = (vault) => `<!doctype html><html lang="en"><title>Application</title>
    <script src="${vault}/connect.js"></script>
    <main><h1>Application</h1><button id="open">Open</button><ul id="told"></ul><div id="place"></div></main><script>
    const query = new URLSearchParams(location.search);
    const tell = (text) => { const item = document.createElement("li"); item.textContent = text; document.getElementById("told").append(item); };
    if (query.has("embed")) {
      const element = document.createElement("credvault-connect");
      for (const name of ["ready", "connected", "tested", "changed", "disconnected", "removed", "denied", "failed", "closed", "expired"]) {
        element.addEventListener(name, ({ detail }) => tell([name, detail.provider].join(" ").trim()));
      }
      element.session = query.get("embed");
      document.getElementById("place").append(element);
    }
    let opened;
    document.getElementById("open").onclick = () => { opened = open(query.get("open")); };
    addEventListener("message", ({ origin, data }) => { if (query.has("open")) tell([origin, data.event].join(" ")); });
    window.lie = () => opened.postMessage({ type: "credvault.authorization", outcome: "returned", result: "stolen" }, "*");
  </script></html>`;

async function application() {
  const server = await serve((_, response) => response.setHeader("content-type", "text/html").end(applicationPage(vault.site)));
  ends.push(() => server.close());
  return `http://localhost:${server.address().port}`;
}

const ports = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"];
const served = /Serving on localhost:(\d+)[^]*FetchCredential\n/;

async function dev(args, publicPort = 0) {
  const child = spawn(program, ["dev", ...ports, "--public-address", `127.0.0.1:${publicPort}`, ...args], { cwd: folder });
  let printed = "";
  const ended = new Promise((resolve) => child.on("close", resolve));
  const match = await new Promise((resolve, reject) => {
    const look = (text) => {
      printed += text;
      const found = printed.match(served);
      if (found) resolve(found);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", (text) => (printed += text));
    ended.then((code) => reject(new Error(`dev ended with ${code}: ${printed}`)));
  });
  return { port: match[1], stop: async () => (child.kill("SIGINT"), assert.equal(await ended, 0, printed)) };
}

const vault = { site: "" };
const first = await dev([]);
await first.stop();
const [ours, theirs] = [await application(), await application()];
/// Of another site than the vault: no cookie of a frame is sent there over plain http.
const apart = (await application()).replace("localhost", "127.0.0.1");
const provider = `http://127.0.0.1:${await freePort()}`;
const config = `\n[public]\norigins = ["${ours}", "${apart}"]\n[pages]\nname = "Shop & Co"\nsupport = "help@shop.example"\n`;
await appendFile(join(folder, "credvault-dev/credvault.toml"), config);
const simulated = await dev(["--simulator", "--simulator-address", provider.split("//")[1]]);
await simulated.stop();
// A provider whose customers paste keys, beside the one that asks for consent.
await writeFile(join(folder, "credvault-dev/catalog/keyshop.toml"), `
id = "keyshop"
display_name = "Key Shop"
documentation_url = "https://keyshop.example/help"
[config.shop]
title = "Shop"
description = "The first part of the address of your shop."
required = true
pattern = '^[a-z0-9-]{1,20}$'
pattern_description = "a name of small letters, digits and hyphens"
[modes.api_key]
display_name = "Key"
kind = "static"
[modes.api_key.secret.key]
title = "API key"
description = "Settings > Apps > API keys."
required = true
min_length = 10
[modes.api_key.request]
base_url = "${provider}"
headers = { X-API-Key = "{secret.key}" }
[modes.api_key.test]
account_id = "id"
call = { url = "${provider}/me" }
`);
Object.assign(vault, await dev(["--simulator", "--simulator-address", provider.split("//")[1]]));
ends.push(() => vault.stop());
const browser = await launch(executablePath);
ends.push(() => browser.close());
const complaints = [];
const { picture, complete } = album("connect");

async function context(options = {}, from = browser) {
  const made = await from.newContext(options);
  made.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  made.on("weberror", (error) => complaints.push(String(error.error())));
  return made;
}

/// A session of the connect page, as a back end makes it for one of its users.
let users = 0;
async function session(...args) {
  users += 1;
  const user = args.includes("--user") ? [] : ["--user", `user-${users}`];
  const command = ["connections", "connect-page", ...user, "--output", "json", "--address", `https://localhost:${vault.port}`];
  const { stdout } = await run(program, [...command, ...args], { cwd: folder });
  const { url } = JSON.parse(stdout);
  vault.site = new URL(url).origin;
  return url;
}

async function behave(behaviour) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${provider}/control/behaviour`, { method: "PUT", headers, body: JSON.stringify(behaviour) });
  assert.ok(answer.ok, await answer.text());
}

const titled = (page, title) => page.waitForFunction((title) => document.title === title, title);
const says = (place, text) => place.getByText(text).first().waitFor();
/// Chromium calls every answer from 400 on an error.
const expected = (pattern) => {
  const found = complaints.splice(0);
  assert.ok(found.every((text) => pattern.test(text)), found.join("\n"));
};

async function list(page) {
  await page.getByRole("heading", { level: 1, name: "Your connections" }).waitFor();
}

/// Adds a key by mouse, in a page or a frame.
async function addKey(place, key = "sim_key_shop-1") {
  await place.getByRole("link", { name: "Add a connection" }).click();
  await place.getByRole("link", { name: "Key Shop" }).click();
  await place.getByLabel("API key").fill(key);
  await place.getByLabel("Shop", { exact: true }).fill("my-shop");
  await place.getByRole("button", { name: "Connect", exact: true }).click();
}

async function aCustomerConnectsAKeyByKeyboardAlone() {
  const page = await (await context()).newPage();
  const menu = () => page.locator("summary", { hasText: "Key Shop" });
  await page.goto(await session("--return-origin", ours));
  await list(page);
  await inspect(page, "list of shared connections");
  // `dev` has connections that are shared.
  const shared = ["More Shopify main", "More WooCommerce main", "More Klaviyo main"];
  assert.deepEqual(await tabulate(page), [...shared, "Add a connection", "Done", "Help: help@shop.example", "Deutsch"]);
  await page.getByRole("link", { name: "Add a connection" }).press("Enter");
  await titled(page, "Add a connection");
  await inspect(page, "providers");
  await picture(page, "providers", ["375-dark", "1280-light"]);
  await page.getByLabel("Search").pressSequentially("no such shop");
  await says(page, "No provider has this name.");
  await page.getByLabel("Search").fill("KEY SH");
  assert.equal(await page.locator(".choices > li:visible").count(), 1);
  await page.getByRole("link", { name: "Key Shop" }).press("Enter");
  await titled(page, "Connect Key Shop");
  await inspect(page, "form");
  // What is wrong is said beside the field, before anything is sent.
  const [key, shop] = [page.getByLabel("API key"), page.getByLabel("Shop", { exact: true })];
  assert.equal(await key.getAttribute("type"), "password");
  await shop.fill("NO GOOD");
  await shop.press("Tab");
  await says(page, "This must be a name of small letters, digits and hyphens.");
  await key.fill("short");
  await key.press("Enter");
  await says(page, "This has at least 10 characters.");
  assert.equal(await page.evaluate(() => document.activeElement.id), await page.locator("[aria-invalid]").first().getAttribute("id"));
  await inspect(page, "form with errors");
  await picture(page, "errors", ["375-light", "1280-dark"]);
  await shop.fill("my-shop");
  assert.equal(await shop.getAttribute("aria-invalid"), null);
  // The provider's own verdict.
  await key.fill("CANARY that is none");
  await key.press("Enter");
  await says(page, "Key Shop does not accept these values");
  assert.equal(await page.getByLabel("API key").inputValue(), "");
  assert.equal(await page.getByLabel("Shop", { exact: true }).inputValue(), "my-shop");
  await inspect(page, "form again");
  expected(/400/);
  await page.getByLabel("API key").fill("sim_key_shop-1");
  await page.getByLabel("API key").press("Enter");
  await list(page);
  await says(page, "The account is connected.");
  await inspect(page, "list");
  await page.reload();
  assert.equal(await page.getByText("The account is connected.").count(), 0, "it is said once");
  await picture(page, "list", ["375-light", "375-dark", "1280-light", "1280-dark"]);
  await menu().press("Enter");
  await inspect(page, "list with a menu");
  await picture(page, "menu", ["375-dark"]);
  await page.getByRole("button", { name: "Test Key Shop" }).press("Enter");
  await says(page, "The connection works");
  await menu().press("Enter");
  await page.getByRole("link", { name: "Rename Key Shop" }).press("Enter");
  await inspect(page, "name");
  await page.getByLabel("Name of this connection").fill("The first");
  await page.getByRole("button", { name: "Save" }).press("Enter");
  await says(page, "The first · shop-1");
  await menu().press("Enter");
  await page.getByRole("link", { name: "Remove Key Shop The first" }).press("Enter");
  await titled(page, "Remove Key Shop?");
  await says(page, "cannot be asked to end the access");
  await inspect(page, "confirmation");
  await picture(page, "confirmation", ["375-light"]);
  await page.getByRole("link", { name: "Keep it" }).press("Enter");
  await menu().press("Enter");
  await page.getByRole("link", { name: "Disconnect Key Shop" }).press("Enter");
  await page.getByRole("button", { name: "Disconnect" }).press("Enter");
  await says(page, "Its access remains at the provider");
  await page.getByRole("button", { name: "Done" }).press("Enter");
  await page.waitForURL(`${ours}/`);
}

async function aCustomerPastesAWholeKey() {
  const page = await (await context()).newPage();
  await page.goto(await session());
  await page.getByRole("link", { name: "Add a connection" }).click();
  await page.getByRole("link", { name: "Key Shop" }).click();
  const paste = (label, text) => page.getByLabel(label).evaluate((input, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    input.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, text);
  await paste("API key", JSON.stringify({ key: "sim_key_pasted", shop: "pasted-shop", other: { no: 1 } }));
  await says(page, "Your key was taken apart");
  assert.equal(await page.getByLabel("Shop", { exact: true }).inputValue(), "pasted-shop");
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await says(page, "The account is connected.");
  // A key that is one value is held to be a whole object.
  await page.getByRole("link", { name: "Add a connection" }).click();
  await page.getByLabel("Search").fill("google sheets");
  await page.getByRole("link", { name: "Google Sheets" }).click();
  // There is no app for consents there, so there is one way only.
  const file = page.getByLabel("Service account key (JSON)");
  await file.fill('{"type": "service_account", ');
  await file.press("Tab");
  await says(page, "This is not a whole JSON object.");
  await file.fill('{"type": "service_account"}');
  await file.press("Tab");
  assert.equal(await file.getAttribute("aria-invalid"), null);
  await inspect(page, "form of a JSON key");
}

async function consentForm(place) {
  await place.getByRole("link", { name: "Add a connection" }).click();
  await place.getByRole("link", { name: "Simulator" }).click();
  return place.getByRole("button", { name: "Continue to Simulator" });
}

async function aCustomerConsentsInAWindow() {
  const made = await context();
  const page = await made.newPage();
  await page.goto(await session("--return-origin", ours));
  for (const [decision, text] of [["Deny", "You did not give access"], ["Allow", "The account is connected."]]) {
    const button = await consentForm(page);
    const [popup] = await Promise.all([made.waitForEvent("page"), button.click()]);
    const closed = popup.waitForEvent("close");
    await popup.getByRole("button", { name: decision }).click();
    await closed;
    await list(page);
    await says(page, text);
  }
  await inspect(page, "list after a consent");
}

/// The provider cuts its window off from the page: the window becomes the list, and the page that waits goes there as well.
async function aWindowThatIsCutOffBecomesTheList() {
  const made = await context();
  const page = await made.newPage();
  await page.goto(await session());
  const button = await consentForm(page);
  await behave({ cut_opener: true });
  const [popup] = await Promise.all([made.waitForEvent("page"), button.click()]);
  await says(page, "Give access in the window that opens.");
  await inspect(page, "waiting");
  await popup.getByRole("button", { name: "Allow" }).click();
  await list(popup);
  await says(popup, "The account is connected.");
  await list(page);
  await behave({});
}

async function aCustomerOnAPhoneGoesThereAndComesBack() {
  const page = await (await context(devices["Pixel 7"])).newPage();
  await page.goto(await session("--language", "de"));
  await titled(page, "Ihre Verbindungen");
  await page.getByRole("link", { name: "Verbindung hinzufügen" }).tap();
  await page.getByRole("link", { name: "Simulator" }).tap();
  await page.getByRole("button", { name: "Weiter zu Simulator" }).tap();
  await page.getByRole("button", { name: "Allow" }).tap();
  await titled(page, "Ihre Verbindungen");
  await says(page, "Das Konto ist verbunden.");
}

/// The application has opened the page in a window, and the consent takes its place. The page, which is not there meanwhile, still says
/// how it ended, to the application as well.
async function aWindowOnAPhoneComesBackFromADenial() {
  const made = await context(devices["Pixel 7"]);
  const page = await made.newPage();
  await page.goto(`${ours}/?open=${encodeURIComponent(await session("--return-origin", ours))}`);
  const [opened] = await Promise.all([made.waitForEvent("page"), page.tap("#open")]);
  await (await consentForm(opened)).tap();
  await opened.getByRole("button", { name: "Deny" }).tap();
  await list(opened);
  await says(opened, "You did not give access");
  await page.locator("#told li", { hasText: `${vault.site} denied` }).first().waitFor();
}

/// What docs/connect-accounts.md shows: the window opens at the click, is led to the URL that comes later, and is closed in the end.
async function theWindowOfTheDocumentsIsClosedByItsOpener() {
  const made = await context();
  const page = await made.newPage();
  const url = await session("--return-origin", ours);
  await page.route(`${ours}/session`, (route) => route.fulfill({ json: { url } }));
  await page.goto(ours);
  const shown = await readFile(new URL("../../docs/connect-accounts.md", import.meta.url), "utf8");
  const script = shown.split("  ```js\n")[1].split("  ```")[0].replace("https://connect.example.com", vault.site);
  await page.evaluate((script) => new Function("button", script)(document.getElementById("open")), script);
  const [opened] = await Promise.all([made.waitForEvent("page"), page.click("#open")]);
  await list(opened);
  await Promise.all([opened.waitForEvent("close"), opened.getByRole("button", { name: "Done" }).click()]);
}

async function aCustomerWithoutScriptsDoesTheSame() {
  const page = await (await context({ javaScriptEnabled: false })).newPage();
  await page.goto(await session("--return-origin", ours));
  await addKey(page);
  await says(page, "The account is connected.");
  await (await consentForm(page)).click();
  await page.getByRole("link", { name: "Go to Simulator" }).click();
  await page.getByRole("button", { name: "Allow" }).click();
  await list(page);
  await says(page, "The account is connected.");
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("link", { name: "Back to Shop & Co" }).click();
  await page.waitForURL(`${ours}/`);
}

async function anApplicationEmbedsThePage() {
  const made = await context();
  const page = await made.newPage();
  const url = await session("--return-origin", ours);
  await page.goto(`${ours}/?embed=${encodeURIComponent(url)}`);
  const told = (text) => page.locator("#told li", { hasText: text }).first().waitFor();
  const frame = page.frameLocator("credvault-connect iframe");
  await list(frame);
  await told("ready");
  await addKey(frame);
  await told("connected keyshop");
  const high = () => page.locator("credvault-connect iframe").evaluate((frame) => frame.clientHeight);
  await page.waitForFunction(() => document.querySelector("credvault-connect iframe").style.height !== "40rem");
  assert.ok(await high() > 100, "it is as high as its content");
  await says(frame, "The account is connected.");
  await picture(page, "embedded", ["1280-light"]);
  const button = await consentForm(frame);
  const [popup] = await Promise.all([made.waitForEvent("page"), button.click()]);
  await popup.getByRole("button", { name: "Allow" }).click();
  await told("connected simulator");
  await says(frame, "The account is connected.");
  await frame.getByRole("button", { name: "Done" }).click();
  await told("closed");
}

/// The person closes the window, or allows another account than the connection's: the page says so, and the application learns it.
async function aConsentThatConnectsNothingIsSaidToBeOne() {
  const made = await context();
  const page = await made.newPage();
  await page.goto(`${ours}/?embed=${encodeURIComponent(await session("--return-origin", ours))}`);
  const told = (text, count) => page.waitForFunction(([text, count]) =>
    [...document.querySelectorAll("#told li")].filter((item) => item.textContent === text).length === count, [text, count]);
  const frame = page.frameLocator("credvault-connect iframe");
  const opens = async (button) => (await Promise.all([made.waitForEvent("page"), button.click()]))[0];
  const left = await opens(await consentForm(frame));
  await left.getByRole("button", { name: "Allow" }).waitFor();
  await left.close();
  await says(frame, "If no window is open any more, go to Simulator again.");
  await told("failed simulator", 1);
  const again = await opens(frame.getByRole("link", { name: "Go to Simulator" }));
  await again.getByRole("button", { name: "Allow" }).click();
  await told("connected simulator", 1);
  await frame.locator("summary", { hasText: "Simulator" }).click();
  await frame.getByRole("link", { name: "Connect again Simulator" }).click();
  const other = await opens(frame.getByRole("button", { name: "Continue to Simulator" }));
  const closed = other.waitForEvent("close");
  await other.getByLabel("Account").fill("shop-2");
  await other.getByRole("button", { name: "Allow" }).click();
  await closed;
  await says(frame, "You gave access to another account than this connection's");
  await told("failed simulator", 2);
  expected(/400/);
}

/// A frame of another site that keeps no cookies opens a window, and the application's element hears that one.
async function aFrameWithoutCookiesOpensAWindow() {
  const made = await context();
  const page = await made.newPage();
  await page.goto(`${apart}/?embed=${encodeURIComponent(await session("--return-origin", apart))}`);
  const frame = page.frameLocator("credvault-connect iframe");
  await frame.getByRole("heading", { level: 1, name: "This page needs cookies" }).waitFor();
  const [opened] = await Promise.all([made.waitForEvent("page"), frame.getByRole("link", { name: "Open it in a window" }).click()]);
  await list(opened);
  await addKey(opened);
  await page.locator("#told li", { hasText: "connected keyshop" }).first().waitFor();
  await opened.getByRole("button", { name: "Done" }).click();
  await page.locator("#told li", { hasText: "closed" }).first().waitFor();
  expected(/400/);
}

/// Starts the vault anew behind TLS at `vault.test`, and an application beside it at `app.test`: another site.
async function behindTls() {
  const [publicPort, file] = [await freePort(), join(folder, "credvault-dev/credvault.toml")];
  const tls = { key: await readFile(join(folder, "credvault-dev/server.key")), cert: await readFile(join(folder, "credvault-dev/server.pem")) };
  const server = createTlsServer(tls, (incoming, response) => {
    const { method, url: path, headers } = incoming;
    if (!headers.host.startsWith("vault.test:")) return response.setHeader("content-type", "text/html").end(applicationPage(vault.site));
    const passed = forward({ host: "127.0.0.1", port: publicPort, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    incoming.pipe(passed);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => (server.closeAllConnections(), server.close()));
  const { port } = server.address();
  const [site, app] = [`https://vault.test:${port}`, `https://app.test:${port}`];
  await vault.stop();
  const settings = await readFile(file, "utf8");
  await writeFile(file, settings.replace(/\[public\]\norigins = .*/, `[public]\nurl = "${site}"\norigins = ["${app}"]`));
  Object.assign(vault, await dev(["--simulator", "--simulator-address", provider.split("//")[1]], publicPort));
  await behave({ redirect_uris: [`${site}/oauth/callback/simulator`] });
  return app;
}

/// In a browser that blocks the cookies of other sites, the frame has one of its own (CHIPS). The window of a consent does not have
/// it, and hands its result to the frame.
async function aFrameOfAnotherSiteKeepsItsOwnCookie() {
  const app = await behindTls();
  const blocking = await launch(executablePath, ["--host-resolver-rules=MAP *.test 127.0.0.1", "--test-third-party-cookie-phaseout"]);
  ends.push(() => blocking.close());
  const made = await context({ ignoreHTTPSErrors: true }, blocking);
  const page = await made.newPage();
  await page.goto(`${app}/?embed=${encodeURIComponent(await session("--return-origin", app))}`);
  const frame = page.frameLocator("credvault-connect iframe");
  await list(frame);
  const cookie = (await made.cookies()).find(({ name }) => name === "__Host-credvault-connect");
  assert.ok(cookie.partitionKey && cookie.secure && cookie.httpOnly && cookie.sameSite === "None", JSON.stringify(cookie));
  await addKey(frame);
  await page.locator("#told li", { hasText: "connected keyshop" }).first().waitFor();
  const button = await consentForm(frame);
  const [popup] = await Promise.all([made.waitForEvent("page"), button.click()]);
  await popup.getByRole("button", { name: "Allow" }).click();
  await page.locator("#told li", { hasText: "connected simulator" }).first().waitFor();
  await says(frame, "The account is connected.");
}

/// A page that stands open until its session is over does not wait for a click that would be in vain.
async function aPageLooksAgainWhenItsTimeIsOver() {
  const page = await (await context()).newPage();
  await page.clock.install();
  await page.goto(await session());
  await page.getByRole("link", { name: "Add a connection" }).click();
  await titled(page, "Add a connection");
  await page.clock.fastForward("29:50");
  assert.equal(await page.title(), "Add a connection");
  await page.clock.fastForward("00:12");
  await list(page); // For the vault, only seconds have passed; tests/it says what it answers afterwards.
}

/// A page of another origin embeds the page, or opens it and talks to it: it sees nothing and is not heard.
async function aHostilePageIsNeitherShownNorHeard() {
  const made = await context();
  const page = await made.newPage();
  const url = await session("--return-origin", ours);
  await page.goto(`${theirs}/?embed=${encodeURIComponent(url)}`);
  for (let waited = 0; complaints.length === 0 && waited < 100; waited += 1) await page.waitForTimeout(100);
  assert.match(complaints.splice(0).join(" "), /frame-ancestors/);
  assert.equal(await page.locator("#told li").count(), 0);
  await page.goto(`${theirs}/?open=${encodeURIComponent(await session("--return-origin", ours))}`);
  const [opened] = await Promise.all([made.waitForEvent("page"), page.click("#open")]);
  await list(opened);
  await page.evaluate(() => window.lie());
  await addKey(opened);
  await says(opened, "The account is connected.");
  assert.equal(await page.locator("#told li").count(), 0, "messages go to the registered origin only");
  complaints.splice(0); // Chromium calls the messages that are not delivered errors.
}

async function aLateOrForeignBrowserReadsWhy() {
  const url = await session("--return-origin", ours);
  const page = await (await context()).newPage();
  await page.goto(url);
  const place = page.url();
  const other = await (await context()).newPage();
  for (const address of [url, place]) {
    await other.goto(address);
    await titled(other, "This page was opened in another browser");
  }
  await inspect(other, "another browser");
  await page.getByRole("button", { name: "Done" }).click();
  await page.waitForURL(`${ours}/`);
  await page.goto(place);
  await titled(page, "This page has ended");
  expected(/403|404/);
}

/// Sessions of one minute, which begin before the other walks: a page that stands open, one without scripts with a form that is filled
/// in, and one in a frame.
async function pagesWhoseTimeWillBeOver() {
  const open = async (options, address) => {
    // What their browsers complain of is their end.
    const page = await (await browser.newContext(options)).newPage();
    await page.goto(address);
    return page;
  };
  const minute = () => session("--user", "late", "--minutes", "1", "--return-origin", ours);
  const [standing, plain] = [await open({}, await minute()), await open({ javaScriptEnabled: false }, await minute())];
  const framed = await open({}, `${ours}/?embed=${encodeURIComponent(await minute())}`);
  for (const page of [standing, plain]) {
    await page.getByRole("link", { name: "Add a connection" }).click();
    await page.getByRole("link", { name: "Key Shop" }).click();
    await page.getByLabel("API key").fill("sim_key_too-late");
    await page.getByLabel("Shop", { exact: true }).fill("my-shop");
  }
  await list(framed.frameLocator("credvault-connect iframe"));
  return { standing, plain, framed, until: Date.now() + 60_000 };
}

/// The accounts that a user has at the provider whose keys are pasted.
async function keysOf(user) {
  const command = ["connections", "list", "--provider", "keyshop", "--owner-user", user, "--output", "json"];
  const { stdout } = await run(program, [...command, "--address", `https://localhost:${vault.port}`], { cwd: folder });
  return JSON.parse(stdout).items;
}

/// Pages with scripts say so by themselves, also to the application; one without says it when the form is sent, and stores nothing.
async function aSessionEndsByTime({ standing, plain, framed, until }) {
  const over = (place) => place.getByRole("heading", { level: 1, name: "The time of this page is over" }).waitFor();
  await standing.waitForTimeout(Math.max(0, until - Date.now()));
  await over(standing);
  await inspect(standing, "time is over");
  await picture(standing, "over", ["375-dark"]);
  await plain.getByRole("button", { name: "Connect", exact: true }).click();
  await over(plain);
  await over(framed.frameLocator("credvault-connect iframe"));
  await framed.locator("#told li", { hasText: "expired" }).waitFor();
  assert.deepEqual(await keysOf("late"), []);
}

async function thePageIsSmallAndFast() {
  const page = await (await context()).newPage();
  await page.goto(await session());
  const times = [];
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await page.reload();
    const paint = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    times.push(await (await page.waitForFunction(paint)).jsonValue());
  }
  assert.ok(Math.min(...times) < 100, `first contentful paint after ${times.join(", ")} ms`);
  const bytes = await page.evaluate(() =>
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0));
  assert.ok(bytes < 60 * 1024, `${bytes} bytes`);
  const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  assert.ok(loaded.every((name) => name.startsWith(`${vault.site}/`)), loaded.join(" "));
}

try {
  await session();
  const ending = await pagesWhoseTimeWillBeOver();
  const walks = [
    aCustomerConnectsAKeyByKeyboardAlone, aCustomerPastesAWholeKey, aCustomerConsentsInAWindow, aWindowThatIsCutOffBecomesTheList,
    aCustomerOnAPhoneGoesThereAndComesBack, aWindowOnAPhoneComesBackFromADenial,
    theWindowOfTheDocumentsIsClosedByItsOpener, aCustomerWithoutScriptsDoesTheSame, anApplicationEmbedsThePage,
    aConsentThatConnectsNothingIsSaidToBeOne,
    aFrameWithoutCookiesOpensAWindow, aPageLooksAgainWhenItsTimeIsOver, aHostilePageIsNeitherShownNorHeard, aLateOrForeignBrowserReadsWhy, thePageIsSmallAndFast,
    aSessionEndsByTime, aFrameOfAnotherSiteKeepsItsOwnCookie,
  ];
  for (const walk of walks) {
    await walk(ending);
    assert.deepEqual(complaints, [], "the browser complains: a policy that a page breaks, or a script that fails");
    console.log(`${walk.name}: ok`);
  }
  await complete();
} finally {
  for (const end of ends.reverse()) await end();
}
process.exit(0);
