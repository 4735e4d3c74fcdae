// The browser of the walks: one that draws the same picture on every machine.

import { access } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(join(process.env.NODE_PATH, "browser.js"));
const { chromium } = require("playwright-core");
const FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// Starts Chromium with the fonts of `fonts.conf` and grey edges of letters; with further arguments, if any are given.
export async function launch(executablePath, args = []) {
  await access(FONT).catch(() => { throw new Error(`${FONT} is not there: install the package fonts-dejavu-core`); });
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-lcd-text", "--font-render-hinting=none", ...args],
    env: { ...process.env, FONTCONFIG_FILE: fileURLToPath(new URL("fonts.conf", import.meta.url)) },
  });
}
