// The comparison of pictures finds what people would see, and nothing else.
//
//   node --test tests/browser/pictures.test.mjs     (NODE_PATH names the folder that has pngjs and pixelmatch)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { encode } from "./palette.mjs";
import { difference } from "./pictures.mjs";

const { PNG } = createRequire(join(process.env.NODE_PATH, "pictures.js"))("pngjs");
const [WHITE, BLACK] = [[255, 255, 255], [0, 0, 0]];

/// A page of one colour with a block of another one.
function page({ width = 375, height = 800, ground = WHITE, block = 0, at = [100, 300], colour = BLACK } = {}) {
  const png = new PNG({ width, height });
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const inside = x >= at[0] && x < at[0] + block && y >= at[1] && y < at[1] + block;
      png.data.set([...(inside ? colour : ground), 255], (y * width + x) * 4);
    }
  }
  return png;
}

test("the same page is alike, also after it was stored", () => {
  const taken = page({ block: 20, colour: [11, 92, 173] });
  const stored = PNG.sync.read(encode(taken));
  assert.deepEqual(stored.data, taken.data);
  assert.equal(difference(stored, taken), null);
});

test("a block of another colour is found, and drawn", () => {
  const found = difference(page(), page({ block: 12 }));
  assert.match(found.words, /differ in a square/);
  assert.equal(found.drawn.width, 375);
});

test("a long page hides a block no better than a short one", () => {
  assert.ok(difference(page({ width: 1280, height: 1200 }), page({ width: 1280, height: 1200, block: 12, at: [1200, 1100] })));
});

test("another shade of the ground is found", () => {
  assert.ok(difference(page({ ground: [13, 17, 23] }), page({ ground: [22, 27, 34] })));
  assert.ok(difference(page(), page({ ground: [244, 246, 248] })));
});

test("a block as small as a dot is none", () => {
  assert.equal(difference(page(), page({ block: 4 })), null);
});

test("a page of another length or width is found; one of a rounded line is not", () => {
  assert.match(difference(page(), page({ height: 820 })).words, /375 × 820 pixels instead of 375 × 800/);
  assert.ok(difference(page(), page({ width: 380 })));
  assert.equal(difference(page(), page({ height: 803 })), null);
});
