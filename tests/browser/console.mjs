// A walk through the operators' console in a real browser: `credvault dev` serves a vault, `credvault console` the pages, and
// Chromium clicks, or presses keys only. Every page is looked at narrow and wide, light and dark, and by axe.
//
//   node tests/browser/console.mjs PROGRAM CHROMIUM [--keep]     (NODE_PATH names the folder of the packages; scripts/browser sets it)

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { launch } from "./browser.mjs";
import { album } from "./pictures.mjs";

const [program, executablePath] = process.argv.slice(2);
const require = createRequire(join(process.env.NODE_PATH, "console.js"));
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "credvault-console-"));
const ends = [() => rm(folder, { recursive: true })];

/// Starts the program and waits until it has printed what matches.
async function start(args, pattern) {
  const child = spawn(program, args, { cwd: folder });
  let printed = "";
  const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  ends.push(() => child.kill());
  const match = await new Promise((resolve, reject) => {
    const look = (text) => {
      printed += text;
      const found = printed.match(pattern);
      if (found) resolve(found);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    ended.then((code) => reject(new Error(`${args[0]} ended with ${code}: ${printed}`)));
  });
  return { child, match, ended };
}

const ports = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--public-address", "127.0.0.1:0"];
const simulator = ["--simulator", "--simulator-address", "127.0.0.1:0"];
const vault = await start(["dev", ...ports, ...simulator], /Serving on localhost:(\d+)[^]*FetchCredential\n/);
ends.push(async () => (vault.child.kill("SIGINT"), assert.equal(await vault.ended, 0)));
const address = `https://localhost:${vault.match[1]}`;
const provider = vault.match[0].match(/its provider: (\S+)\)/)[1];
const console_ = await start(
  ["console", "--no-browser", "--address", address],
  /(http:\/\/127\.0\.0\.1:\d+)(\/begin\?ticket=[0-9a-f]+)\s/,
);
const [, origin, begin] = console_.match;
const browser = await launch(executablePath);
ends.push(() => browser.close());
const complaints = [];
const { picture, complete } = album("console");

function listen(context) {
  context.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  context.on("weberror", (error) => complaints.push(String(error.error())));
  return context;
}

const mine = listen(await browser.newContext());
const page = await mine.newPage();
const heading = (text) => page.getByRole("heading", { level: 1, name: text }).waitFor();

async function theAddressOpensOneBrowser() {
  await page.goto(origin + begin);
  await heading("Overview");
  assert.equal(new URL(page.url()).search, "", "the ticket does not stay in the address");
  const other = await listen(await browser.newContext()).newPage();
  await other.goto(origin + begin);
  await other.getByText("opens it once").waitFor();
  await other.goto(origin);
  await other.getByText("was not let in").waitFor();
  await other.context().close();
  complaints.splice(0); // Chromium calls the two refusals errors.
}

/// What a tenant does with the vault: accounts are connected, one is not, tokens are refreshed and fetched, and the provider ends a grant.
async function aTenantHasWorked() {
  const cli = (...args) => run(program, [...args, "--address", address], { cwd: folder });
  for (const [account, decision] of [["berlin", "Allow"], ["paris", "Allow"], ["london", "Deny"]]) {
    const { match, ended } = await start(["connections", "connect", "simulator", "--account", account, "--address", address], /(http:\/\/\S+)\s[^]*Waiting/);
    const customer = await (await browser.newContext()).newPage();
    await customer.goto(match[1]);
    await customer.getByRole("button", { name: decision }).click();
    if (decision === "Allow") await customer.getByRole("button", { name: "Connect" }).click();
    assert.equal(await ended, decision === "Allow" ? 0 : 5);
    await customer.context().close();
  }
  await cli("connections", "refresh", "simulator/berlin");
  await cli("connections", "test", "simulator/berlin");
  for (let fetches = 0; fetches < 3; fetches += 1) await cli("fetch", "simulator", "--account", "berlin");
  await behave({ steady: { refuse: "dead_grant" } });
  await assert.rejects(cli("connections", "refresh", "simulator/paris"));
  await behave({});
}

async function behave(behaviour) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${provider}/control/behaviour`, { method: "PUT", headers, body: JSON.stringify(behaviour) });
  assert.ok(answer.ok, await answer.text());
}

async function pagesLookAsTheirPictures() {
  await page.goto(`${origin}/?tenant=demo`);
  await picture(page, "overview", ["375-light", "1280-dark"]);
  await page.goto(`${origin}/connections?tenant=demo`);
  await picture(page, "connections", ["375-dark", "1280-light"]);
  await page.getByRole("link", { name: "simulator / berlin" }).click();
  await heading("simulator / berlin");
  await picture(page, "connection", ["1280-dark"]);
  await page.goto(`${origin}/audit?tenant=demo&action=FetchCredential`);
  await picture(page, "audit", ["1280-light"]);
}

async function everyPageIsReadable() {
  await page.goto(`${origin}/connections?tenant=demo`);
  const connection = await page.locator("tbody a").first().getAttribute("href");
  const pages = [
    "/", "/?tenant=demo", "/tenants", "/tenant?tenant=demo", "/connections?tenant=demo", connection, "/audit?tenant=demo",
    "/audit?tenant=demo&view=sums", "/audit?tenant=demo&connection=none", "/keys", "/keys?tenant=demo", "/events?tenant=demo", "/apps", "/policy",
    "/policy?tenant=demo&service=spiffe%3A%2F%2Fdev.local%2Freporter&provider=shopify&owner=tenant", "/end", "/nothing",
  ];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 375]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      for (const path of pages) {
        await page.goto(origin + path);
        if (path !== "/nothing") {
          const target = await page.locator("p.target").innerText();
          assert.ok(target.includes(`https://localhost:${vault.match[1]}`) && target.includes("spiffe://dev.local/operator"), target);
        }
        // No cell of a table is out of sight in a narrow window.
        const cut = await page.evaluate(() => [...document.querySelectorAll("table.cards td")]
          .filter((cell) => cell.getBoundingClientRect().right > innerWidth + 1).map((cell) => cell.dataset.label));
        if (width === 375) assert.deepEqual(cut, [], path);
        await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${path} is ${wide} pixels too wide at ${width}`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
        assert.deepEqual(found, [], `${path}, ${colorScheme}, ${width}`);
      }
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  assert.ok(complaints.every((text) => /40[04]/.test(text)), String(complaints));
  complaints.splice(0); // The page that is not there, and the search for a connection that is not.
}

/// Presses Tab until the focus is on what has this text.
async function tabTo(text) {
  for (let press = 0; press < 100; press++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const active = document.activeElement;
      return active.ariaLabel ?? active.labels?.[0]?.firstChild.textContent.trim() ?? active.textContent.trim();
    });
    if (focused === text) return;
  }
  assert.fail(`Tab does not reach ${text}`);
}

async function aConnectionIsDisabledByKeysOnly() {
  await page.goto(`${origin}/?tenant=demo`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await tabTo("Connections");
  await page.keyboard.press("Enter");
  await heading("Connections");
  const box = page.locator("tbody input[type=checkbox]").first();
  await tabTo(await box.getAttribute("aria-label"));
  await page.keyboard.press("Space");
  assert.ok(await box.isChecked());
  await tabTo("What to do");
  await page.keyboard.type("Disable");
  await tabTo("Try with those chosen");
  await page.keyboard.press("Enter");
  await heading("Disable: a trial");
  await page.getByText("1 would change").waitFor();
  await tabTo("Disable this connection");
  await page.keyboard.press("Enter");
  await heading("Disable");
  await page.getByText("1 changed").waitFor();
  await tabTo(await page.locator("tbody a").first().textContent());
  await page.keyboard.press("Enter");
  await page.getByText("disabled", { exact: true }).first().waitFor();
  await tabTo("Enable…");
  await page.keyboard.press("Enter");
  await heading("Enable: a trial");
  await tabTo("Enable this connection");
  await page.keyboard.press("Enter");
  await page.getByText("1 changed").waitFor();
}

async function aTenantIsSuspendedAndResumed() {
  for (const [ask, act, state] of [["Suspend…", "Suspend demo", "suspended"], ["Resume…", "Resume demo", "active"]]) {
    await page.goto(`${origin}/tenant?tenant=demo`);
    await page.getByText(ask).click();
    await page.getByRole("button", { name: act }).click();
    await page.getByRole("status").waitFor();
    await page.getByText(state, { exact: true }).first().waitFor();
  }
}

async function aRotationIsFollowedWithoutLoadingThePage() {
  await page.goto(`${origin}/keys?tenant=demo`);
  await page.getByText("Rotate this key…").click();
  await page.getByRole("button", { name: "Rotate the key" }).click();
  await page.getByText("The rotation has begun").waitFor();
  await page.locator("#rotations").getByText("ended", { exact: true }).waitFor();
  const versions = page.getByRole("region", { name: "Versions of the key" }).locator("tbody tr");
  assert.ok((await versions.count()) > 1, "the keys are those after the rotation");
  assert.equal(await page.locator("[data-live]").count(), 0, "what has ended is not asked for any more");
}

/// From a connection's page to the policy tester, whose fields are filled in, and to its answer.
async function aPolicyIsAsked() {
  await page.goto(`${origin}/`);
  await page.getByRole("heading", { name: "All connections" }).waitFor();
  await page.goto(`${origin}/connections?tenant=demo`);
  await page.locator("tbody a").first().click();
  const access = page.getByRole("region", { name: "Who may, and who did" });
  const app = access.getByRole("region", { name: "Who may", exact: true }).getByRole("row");
  await app.filter({ hasText: "spiffe://dev.local/app" }).filter({ hasText: "FetchCredential" }).getByText("permitted").waitFor();
  await access.getByRole("heading", { name: "Who did in the last 30 days" }).waitFor();
  await access.getByRole("link", { name: "May a service use this connection?" }).click();
  await heading("Policy");
  assert.notEqual(await page.getByLabel("Connection (id)").inputValue(), "");
  assert.equal(await page.getByLabel("Action").inputValue(), "FetchCredential");
  await page.getByLabel("Service (SPIFFE ID)").fill("spiffe://dev.local/app");
  await page.keyboard.press("Enter");
  await page.getByText("permitted", { exact: true }).first().waitFor();
  await page.getByText("permits it").waitFor();
  await page.getByLabel("Service (SPIFFE ID)").fill("spiffe://dev.local/reporter");
  await page.getByLabel("Action").selectOption("PurgeConnection");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByText("may not call").waitFor();
}

async function aWrongSearchKeepsItsForm() {
  await page.goto(`${origin}/audit?tenant=demo`);
  await page.getByRole("textbox", { name: "User" }).fill("u1");
  await page.getByLabel("Connection (account name or id)").fill("none");
  await page.getByLabel("Since (UTC)").fill("2026-01-01T08:30");
  await page.getByRole("button", { name: "Search" }).click();
  await page.locator("#wrong-connection").waitFor();
  assert.equal(await page.getByRole("textbox", { name: "User" }).inputValue(), "u1");
  assert.equal(await page.getByLabel("Since (UTC)").inputValue(), "2026-01-01T08:30");
  complaints.splice(0); // Chromium calls the refusal an error.
  await page.getByRole("link", { name: "Last hour" }).waitFor();
}

async function recordsAreExported() {
  await page.goto(`${origin}/audit?tenant=demo`);
  for (const [link, name, begins] of [["CSV", "audit.csv", "id,time,service"], ["JSON lines", "audit.jsonl", '{"id":']]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: link }).click()]);
    assert.equal(download.suggestedFilename(), name);
    const text = await readFile(await download.path(), "utf8");
    assert.ok(text.startsWith(begins), text.slice(0, 200));
  }
}

/// A page of another origin sends a form and shows the console in a frame; both come to nothing.
async function aHostilePageGetsNowhere() {
  const hostile = `<!doctype html><title>Hostile</title><iframe src="${origin}/"></iframe>
    <form method="post" action="${origin}/tenant/suspend"><input name="tenant" value="demo"><button>Win</button></form>`;
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(hostile));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => server.close());
  const theirs = await mine.newPage();
  // Another port of the same host, to which the browser would send the cookie.
  await theirs.goto(`http://127.0.0.1:${server.address().port}/`);
  const framed = theirs.frames().find((frame) => frame !== theirs.mainFrame());
  assert.equal(await framed.getByText("Overview").count(), 0, "no page of the console is in a frame");
  await theirs.getByRole("button", { name: "Win" }).click();
  await theirs.getByText("This came from another page").waitFor();
  await theirs.close();
  complaints.splice(0); // Chromium calls both refusals errors.
  await page.goto(`${origin}/tenant?tenant=demo`);
  await page.getByText("active", { exact: true }).first().waitFor();
}

async function theConsoleEnds() {
  await page.goto(`${origin}/`);
  await page.getByRole("link", { name: "End the console" }).click();
  await page.getByRole("button", { name: "End the console" }).click();
  await heading("The console has ended");
  assert.equal(await console_.ended, 0);
}

try {
  const walks = [
    theAddressOpensOneBrowser, aTenantHasWorked, pagesLookAsTheirPictures, everyPageIsReadable, aConnectionIsDisabledByKeysOnly, aTenantIsSuspendedAndResumed,
    aRotationIsFollowedWithoutLoadingThePage, aPolicyIsAsked, aWrongSearchKeepsItsForm, recordsAreExported, aHostilePageGetsNowhere, theConsoleEnds,
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
