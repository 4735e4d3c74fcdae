// What every page for people must be like, whatever it says: readable, reachable by keyboard, whole at any width, in light
// and in dark. axe holds it against WCAG 2.2 AA.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const axe = await readFile(join(process.env.NODE_PATH, "axe-core/axe.min.js"), "utf8");

/// Looks at a page at both widths and in both schemes, and leaves it as it was.
export async function inspect(page, name) {
  for (const [width, height] of [[375, 667], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const place = `${name}, ${width} px, ${colorScheme}`;
      // The browser's own way in: the policy of the page permits no script of the test's.
      await page.evaluate(axe);
      const { violations } = await page.evaluate((values) => axe.run(document, { runOnly: { type: "tag", values } }), RULES);
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      assert.deepEqual(found, [], place);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${place}: ${wide} px wider than the window`);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("a, button, summary, input:not([type=hidden])")]
          .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24)
          .map((each) => each.outerHTML));
      assert.deepEqual(small, [], `${place}: smaller than a finger`);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
      assert.equal(ground[0] < 128, colorScheme === "dark", `${place}: ${ground}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
}

/// Everything that the tabulator reaches, in order, each with a ring that shows where it is.
export async function tabulate(page) {
  const reached = [];
  await page.evaluate(() => document.activeElement?.blur());
  for (;;) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const active = document.activeElement;
      if (!active || active === document.body) return null;
      const ring = getComputedStyle(active);
      return { label: active.textContent.trim(), ring: ring.outlineStyle === "none" ? 0 : parseFloat(ring.outlineWidth) };
    });
    if (!at || reached.length > 30 || (reached.length && at.label === reached[0])) return reached;
    assert.ok(at.ring >= 2, `${at.label} has no ring`);
    reached.push(at.label);
  }
}
