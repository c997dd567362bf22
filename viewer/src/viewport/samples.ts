/**
 * Samples of grey as they are decoded → values that any window draws as the standard has it.
 *
 * Runs in the decoder's worker, on every frame of one sample a pixel. Cornerstone takes samples for values as they are,
 * so what a data set says beyond slope, intercept and window is done here: where the bits lie, tables, padding, overlays.
 */

/** Where the stored bits lie in a sample (PS3.5 §8.1.1). */
export interface StoredBits {
  count: number;
  high: number;
  isSigned: boolean;
}

/** A table from integers to integers; beyond its ends the first or the last entry holds (PS3.3 §C.11.1.1.1). */
export interface Table {
  first: number;
  entries: Uint16Array;
}

export interface Rescale {
  slope: number;
  intercept: number;
}

/** How bright values are, where no window of the renderers says it. */
export type Curve =
  | { kind: 'table'; table: Table; greatest: number }
  | { kind: 'window'; center: number; width: number; isSigmoid: boolean };

/** An overlay with bits of its own, the first in the lowest bit of a byte (PS3.3 §C.9.2). */
export interface Plane {
  rows: number;
  columns: number;
  /** Where it begins in the image, from 1. */
  row: number;
  column: number;
  bits: Uint8Array;
  /** The first bit of this frame. */
  from: number;
}

/** What is done to the samples of a frame. */
export interface Reading {
  /** Columns of the image. */
  columns: number;
  bits: StoredBits;
  /** Values fall where samples rise: they are given upside down, and the data set says so (see `drawable`). */
  isFlipped: boolean;
  /** From samples to values; a rescaling is Cornerstone's, unless there is a curve. */
  modality: Table | Rescale;
  /** What Cornerstone is left to do with what is read. */
  scale: Rescale;
  curve: Curve | undefined;
  /** Nothing says what is to be seen: all values that the frame has are spread. */
  isSpread: boolean;
  /** Stored values that are no part of the image, the first and the last. */
  padding: readonly [number, number] | undefined;
  /** What padding and overlays become: black and white in any window. */
  black: number;
  white: number;
  planes: readonly Plane[];
  /** Overlays in bits of the samples that are not stored ones, as it was done before it was retired. */
  overlayBits: readonly number[];
}

/** What has been read; `lowest` and `highest` are those of its values but for padding, neither where all is padding. */
export interface Values {
  samples: Int16Array | Uint16Array;
  lowest: number;
  highest: number;
}

/** The greatest brightness that a curve gives. */
export const BRIGHTEST = 65535;

/** The lowest and the highest value that the bits can stand for. */
export function rangeOf({ count, isSigned }: StoredBits): [lowest: number, highest: number] {
  const values = 2 ** count;
  return isSigned ? [-values / 2, values / 2 - 1] : [0, values - 1];
}

export function read(samples: ArrayLike<number>, reading: Reading): Values {
  const meanings = meaningsOf(reading);
  const { isPadding, value } = meanings;
  const read = meanings.isBelowZero ? new Int16Array(samples.length) : new Uint16Array(samples.length);
  const mask = value.length - 1;
  let [lowest, highest] = [Infinity, -Infinity];
  for (let pixel = 0; pixel < read.length; pixel += 1) {
    const sample = (samples[pixel] ?? 0) & mask;
    const meant = value[sample] ?? 0;
    read[pixel] = meant;
    if (isPadding[sample] === 1) continue;
    if (meant < lowest) lowest = meant;
    if (meant > highest) highest = meant;
  }
  for (const bit of reading.overlayBits) {
    for (let pixel = 0; pixel < read.length; pixel += 1) {
      if ((((samples[pixel] ?? 0) >> bit) & 1) === 1) read[pixel] = reading.white;
    }
  }
  for (const plane of reading.planes) draw(plane, read, reading);
  return { samples: read, lowest, highest };
}

interface Meanings {
  value: Int32Array;
  isPadding: Uint8Array;
  isBelowZero: boolean;
}

/** What each sample that there can be means. */
function meaningsOf(reading: Reading): Meanings {
  const { bits, padding } = reading;
  const shift = Math.max(0, bits.high + 1 - bits.count);
  const mask = 2 ** bits.count - 1;
  const sign = bits.isSigned ? 2 ** (bits.count - 1) : 0;
  const meaning = meaningOf(reading);
  const value = new Int32Array(bits.high < 8 ? 256 : 65536);
  const isPadding = new Uint8Array(value.length);
  let isBelowZero = false;
  for (let sample = 0; sample < value.length; sample += 1) {
    const stored = (((sample >> shift) & mask) ^ sign) - sign;
    const isPadded = padding !== undefined && stored >= padding[0] && stored <= padding[1];
    const meant = isPadded ? reading.black : meaning(stored);
    value[sample] = meant;
    if (isPadded) isPadding[sample] = 1;
    if (meant < 0) isBelowZero = true;
  }
  const hasOverlays = reading.planes.length > 0 || reading.overlayBits.length > 0;
  return { value, isPadding, isBelowZero: isBelowZero || (hasOverlays && reading.white < 0) };
}

function meaningOf({ bits, isFlipped, modality, curve }: Reading): (stored: number) => number {
  const inUnits = (stored: number) =>
    'entries' in modality ? entryAt(modality, stored) : stored * modality.slope + modality.intercept;
  if (curve) return (stored) => Math.round(brightness(curve, inUnits(stored)) * BRIGHTEST);
  if ('entries' in modality) return inUnits;
  const [lowest, highest] = rangeOf(bits);
  return isFlipped ? (stored) => lowest + highest - stored : (stored) => stored;
}

function entryAt({ first, entries }: Table, input: number): number {
  const place = Math.min(entries.length - 1, Math.max(0, Math.round(input) - first));
  return entries[place] ?? 0;
}

/** From 0 to 1 (PS3.3 §C.11.2.1). */
function brightness(curve: Curve, value: number): number {
  if (curve.kind === 'table') return Math.min(1, entryAt(curve.table, value) / curve.greatest);
  const { center, width, isSigmoid } = curve;
  if (isSigmoid) return 1 / (1 + Math.exp((-4 * (value - center)) / width));
  if (width <= 1) return value <= center - 0.5 ? 0 : 1;
  return Math.min(1, Math.max(0, (value - (center - 0.5)) / (width - 1) + 0.5));
}

function draw(plane: Plane, read: Int16Array | Uint16Array, { columns, white }: Reading): void {
  for (let at = 0; at < plane.rows * plane.columns; at += 1) {
    const bit = plane.from + at;
    if ((((plane.bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 0) continue;
    const row = Math.floor(at / plane.columns) + plane.row - 1;
    const column = (at % plane.columns) + plane.column - 1;
    const isInside = row >= 0 && column >= 0 && column < columns && row * columns + column < read.length;
    if (isInside) read[row * columns + column] = white;
  }
}

/** Whether the three colours of an HTJ2K code stream lie apart in it, not mixed into each other (PS3.5 §8.2.4). */
export function areColoursApart(codeStream: Uint8Array): boolean {
  // Behind SOC come marker segments; COD tells in its seventh byte whether components were mixed.
  let at = 2;
  while (at + 8 < codeStream.length && codeStream[at] === 0xff) {
    if (codeStream[at + 1] === 0x52) return codeStream[at + 8] === 0;
    at += 2 + (codeStream[at + 2] ?? 0) * 256 + (codeStream[at + 3] ?? 0);
  }
  return false;
}

/**
 * Colours by pixel, of what the decoder of HTJ2K makes of those that lie apart: it is given all lines of one colour, then
 * of the next, and puts them down as if the colours of a line came together.
 */
export function coloursInOrder(samples: Uint8Array, rows: number, columns: number): Uint8Array {
  const ordered = new Uint8Array(samples.length);
  for (let line = 0; line < rows * 3; line += 1) {
    const [row, colour] = [line % rows, Math.floor(line / rows)];
    const [from, to] = [Math.floor(line / 3) * columns * 3 + (line % 3), row * columns * 3 + colour];
    for (let column = 0; column < columns; column += 1) ordered[to + column * 3] = samples[from + column * 3] ?? 0;
  }
  return ordered;
}
