// PNG files with a palette: pages have few colours, and a byte for a pixel makes a file half as large as three do. pngjs reads
// such files and writes none.

import { deflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
const [DEPTH, BY_PALETTE] = [8, 3];

/// The bytes of a file with the 256 colours that the picture has most of; rarer ones, which are edges of letters, become the nearest.
export function encode({ width, height, data }) {
  const colours = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const counts = new Map();
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const kept = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a)).slice(0, 256).map(parts);
  const places = new Map([...counts.keys()].map((colour) => [colour, nearest(kept, parts(colour))]));
  // A row begins with its filter: none.
  const rows = Buffer.alloc((width + 1) * height);
  colours.forEach((colour, at) => { rows[at + Math.floor(at / width) + 1] = places.get(colour); });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([DEPTH, BY_PALETTE], 8);
  const chunks = [["IHDR", header], ["PLTE", Buffer.from(kept.flat())], ["IDAT", deflateSync(rows, { level: 9 })], ["IEND", Buffer.alloc(0)]];
  return Buffer.concat([SIGNATURE, ...chunks.map(chunk)]);
}

/// Red, green and blue, as they lie in memory.
const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];

function nearest(kept, [red, green, blue]) {
  const distances = kept.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2);
  return distances.indexOf(Math.min(...distances));
}

function chunk([name, content]) {
  const named = Buffer.concat([Buffer.from(name), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc(named));
  return Buffer.concat([length, named, sum]);
}

/// The checksum of the PNG specification, annex D.
function crc(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}
