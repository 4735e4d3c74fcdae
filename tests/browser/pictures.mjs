// Pictures of pages, compared with stored ones in the folder `pictures`: a change of what people see is a change of a file.
// With `--keep` among the arguments of a walk, the pictures are stored instead, and those that no page has any more go.
//
// What differs from run to run (ids, times, ports, hints of secrets) is replaced before a picture is taken.

import assert from "node:assert/strict";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { encode } from "./palette.mjs";

const require = createRequire(join(process.env.NODE_PATH, "pictures.js"));
const { PNG } = require("pngjs");
const { default: pixelmatch } = await import(pathToFileURL(require.resolve("pixelmatch")));

const STORED = fileURLToPath(new URL("pictures/", import.meta.url));
const FAILED = fileURLToPath(new URL("../../target/pictures/", import.meta.url));
const KEEP = process.argv.includes("--keep");

/// A picture ends here: what a longer page has below is more of the same.
const LONGEST = 1200;
/// How far two colours may be apart, from 0 to 1 (black and white): less than a page's white and the grey of a panel, which are 0.03 apart.
const COLOUR = 0.02;
/// In no square of this side may more than this share of the pixels differ: 81 pixels. One other letter passes, a word of
/// four does not. The share is one of a square, so that a long page hides no more than a short one. Edges that are drawn more or
/// less softly, as another release of the browser does, do not count.
const SQUARE = 64;
const SHARE = 0.02;
/// Pixels by which a page may be longer or shorter: the rounding of its lines.
const HEIGHT = 4;

/// What may stand in a text and is another one in each run, and what stands in pictures instead. Runs in the page.
const CHANGING = [
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "01900000-0000-7000-8000-000000000000"],
  [/\b\d{4}-\d\d-\d\d\b/g, "2026-01-31"],
  [/\b\d\d:\d\d:\d\d\b/g, "12:00:00"],
  [/\b(localhost|127\.0\.0\.1):\d+/g, "$1:7480"],
  [/\b\w{4}…\w{4}\b/g, "abcd…wxyz"],
].map(([pattern, instead]) => [pattern.source, instead]);

/// The pictures of a walk. What differs is said when all of them were taken.
export function album(prefix) {
  const [taken, failures] = [new Set(), []];

  /// Holds a page against its pictures in some views, such as `375-light`, and leaves it as it was. `fixed` has texts by selector.
  async function picture(page, name, views, fixed = {}) {
    const size = page.viewportSize();
    for (const view of views) {
      const file = `${prefix}-${name}-${view}.png`;
      assert.ok(!taken.has(file), `${file} is taken twice`);
      taken.add(file);
      const failure = await hold(file, await take(page, view, fixed));
      if (failure) failures.push(failure);
    }
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: null });
  }

  /// Fails if a picture differs, or if one is stored that no page has.
  async function complete() {
    const stored = await readdir(STORED).catch(() => []);
    for (const file of stored.filter((file) => file.startsWith(`${prefix}-`) && !taken.has(file))) {
      if (KEEP) await rm(join(STORED, file));
      else failures.push(`${file}: no page has this picture`);
    }
    assert.ok(failures.length === 0,
      `${failures.join("\n")}\nThe new pictures and the differences are in ${FAILED}. If they are right, store them: scripts/browser --keep`);
  }

  return { picture, complete };
}

/// How two pictures differ, in words, with a picture of the difference; or null if they are alike.
export function difference(stored, taken) {
  if (stored.width !== taken.width || Math.abs(stored.height - taken.height) > HEIGHT) {
    return { words: `${taken.width} × ${taken.height} pixels instead of ${stored.width} × ${stored.height}` };
  }
  const [width, height] = [stored.width, Math.min(stored.height, taken.height)];
  const drawn = new PNG({ width, height });
  const [a, b] = [stored, taken].map(({ data }) => data.subarray(0, width * height * 4));
  const most = pixelmatch(a, b, drawn.data, width, height, { threshold: COLOUR, windowSize: SQUARE });
  const allowed = Math.floor(SQUARE * SQUARE * SHARE);
  if (most <= allowed) return null;
  return { words: `${most} pixels differ in a square of ${SQUARE} × ${SQUARE}; at most ${allowed} may`, drawn };
}

async function take(page, view, fixed) {
  const [width, colorScheme] = view.split("-");
  await page.setViewportSize({ width: Number(width), height: 800 });
  await page.emulateMedia({ colorScheme });
  await page.mouse.move(0, 0);
  const texts = await page.evaluateHandle(replace, { changing: CHANGING, fixed });
  const height = await page.evaluate(() => Math.max(innerHeight, document.documentElement.scrollHeight));
  const clip = { x: 0, y: 0, width: Number(width), height: Math.min(height, LONGEST) };
  const shoot = () => page.screenshot({ fullPage: true, clip, animations: "disabled", caret: "hide", scale: "css" });
  // What moves, such as a frame that grows with its content, has come to rest when two pictures in turn are the same.
  let bytes = await shoot();
  for (let before = null, tries = 0; !before?.equals(bytes) && tries < 10; tries += 1) [before, bytes] = [bytes, await shoot()];
  await texts.evaluate((texts) => texts.forEach(([node, text]) => { node.data = text; }));
  // As it would be stored: with the same few colours.
  return PNG.sync.read(encode(PNG.sync.read(bytes)));
}

/// Runs in the page: replaces what changes, and returns the texts that were there.
function replace({ changing, fixed }) {
  const before = [];
  const set = (node, text) => {
    if (node.data === text) return;
    before.push([node, node.data]);
    node.data = text;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    set(node, changing.reduce((text, [pattern, instead]) => text.replace(new RegExp(pattern, "g"), instead), node.data));
  }
  for (const [selector, text] of Object.entries(fixed)) {
    for (const element of document.querySelectorAll(selector)) set(element.firstChild, text);
  }
  return before;
}

async function hold(file, taken) {
  if (KEEP) {
    await mkdir(STORED, { recursive: true });
    await writeFile(join(STORED, file), encode(taken));
    return null;
  }
  const stored = await readFile(join(STORED, file)).catch(() => null);
  const found = stored ? difference(PNG.sync.read(stored), taken) : { words: "no such picture is stored" };
  if (!found) return null;
  await mkdir(FAILED, { recursive: true });
  await writeFile(join(FAILED, file), encode(taken));
  if (found.drawn) await writeFile(join(FAILED, file.replace(".png", "-difference.png")), encode(found.drawn));
  return `${file}: ${found.words}`;
}
