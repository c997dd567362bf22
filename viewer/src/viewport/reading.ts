/** What a data set says about the grey values of a frame, as the server reads it to draw the same picture. */

import { items, number, numbers, text, type JsonAttribute, type JsonDataSet, type Tag } from '../dicomweb/attributes';
import { bulkData } from '../dicomweb/bulk';
import * as TAG from '../dicomweb/tags';
import type { Instance, Window } from '../dicomweb/series';
import { rangeOf, type Curve, type Plane, type Reading, type Rescale, type StoredBits, type Table } from './samples';
import { Unsupported } from './unsupported';

/** What is proposed to be seen of a frame; a window in the terms of LINEAR, which all of the viewer uses. */
export type Proposal = { kind: 'window'; window: Window; isSigmoid: boolean } | { kind: 'table'; item: JsonDataSet };

/** Groups of overlays (PS3.5 §7.6). */
const OVERLAYS = Array.from({ length: 16 }, (_, index) => `60${(index * 2).toString(16).padStart(2, '0').toUpperCase()}` as const);

/** Whether an image has one sample a pixel that is an integer: grey values, or indices of a palette. */
export function isOfIntegers(dataSet: JsonDataSet): boolean {
  return (number(dataSet, TAG.samplesPerPixel) ?? 1) === 1 && dataSet[TAG.pixelData] !== undefined;
}

export function isPalette(dataSet: JsonDataSet): boolean {
  return text(dataSet, TAG.photometricInterpretation) === 'PALETTE COLOR';
}

/** Whether the lowest value is white: what the image's own Presentation LUT Shape says goes before its interpretation. */
export function isWhiteLowest(dataSet: JsonDataSet): boolean {
  const shape = text(dataSet, TAG.presentationLutShape);
  return shape === '' ? text(dataSet, TAG.photometricInterpretation) === 'MONOCHROME1' : shape === 'INVERSE';
}

/** What cannot be is passed over. */
export function storedBits(dataSet: JsonDataSet): StoredBits {
  const allocated = number(dataSet, TAG.bitsAllocated) ?? 16;
  const within = (least: number, most: number, value: number | undefined) =>
    value !== undefined && value >= least && value <= most ? value : undefined;
  const count = within(1, allocated, number(dataSet, TAG.bitsStored)) ?? allocated;
  const high = within(count - 1, allocated - 1, number(dataSet, TAG.highBit)) ?? count - 1;
  return { count, high, isSigned: number(dataSet, TAG.pixelRepresentation) === 1 };
}

/** The item of a functional group that holds an attribute for a frame, or the data set itself (PS3.3 §C.7.6.16). */
export function holding(dataSet: JsonDataSet, frame: number, group: Tag, attribute: Tag): JsonDataSet {
  const groups = [items(dataSet, TAG.perFrameGroups)[frame - 1], items(dataSet, TAG.sharedGroups)[0]];
  const holders = groups.map((item) => item && items(item, group)[0]);
  return holders.find((holder) => holder?.[attribute] !== undefined) ?? dataSet;
}

/** A slope of 0, which some devices write, would show nothing. */
export function rescaleIn(holder: JsonDataSet): Rescale {
  return { slope: number(holder, TAG.rescaleSlope) || 1, intercept: number(holder, TAG.rescaleIntercept) ?? 0 };
}

export function rescaleOf(dataSet: JsonDataSet, frame: number): Rescale {
  return rescaleIn(holding(dataSet, frame, TAG.pixelValueTransformation, TAG.rescaleSlope));
}

/** The same scale of samples that are upside down (see `samples`). */
export function turned({ slope, intercept }: Rescale, bits: StoredBits): Rescale {
  const [lowest, highest] = rangeOf(bits);
  return { slope: -slope, intercept: intercept + slope * (lowest + highest) };
}

/**
 * The window of a data set or an item, if there can be such a one. LINEAR_EXACT of centre c and width w is LINEAR of
 * c + ½ and w + 1 (PS3.3 §C.11.2.1.3.2); widths below 1, which LINEAR does not have, are meant so too.
 */
export function windowIn(holder: JsonDataSet): Extract<Proposal, { kind: 'window' }> | undefined {
  const [center, width] = [number(holder, TAG.windowCenter), number(holder, TAG.windowWidth)];
  if (center === undefined || width === undefined || width <= 0) return undefined;
  const kind = text(holder, TAG.voiLutFunction);
  if (kind === 'SIGMOID') return { kind: 'window', window: { center, width }, isSigmoid: true };
  const isExact = kind === 'LINEAR_EXACT' || width < 1;
  return { kind: 'window', window: isExact ? { center: center + 0.5, width: width + 1 } : { center, width }, isSigmoid: false };
}

/** The first window, or else the first table. */
export function proposalOf(dataSet: JsonDataSet, frame: number): Proposal | undefined {
  const window = windowIn(holding(dataSet, frame, TAG.frameVoiLut, TAG.windowCenter));
  if (window) return window;
  const [item] = items(holding(dataSet, frame, TAG.frameVoiLut, TAG.voiLut), TAG.voiLut);
  return item && isTable(item) ? { kind: 'table', item } : undefined;
}

const curved = new WeakMap<JsonDataSet, boolean>();

/** Whether a frame is proposed to be seen by a curve, which Cornerstone draws wrong or not on every machine. */
export function hasCurve({ dataSet, frames }: Pick<Instance, 'dataSet' | 'frames'>): boolean {
  const known = curved.get(dataSet);
  if (known !== undefined) return known;
  const isCurve = (proposal: Proposal | undefined) => proposal?.kind === 'table' || proposal?.isSigmoid === true;
  const isGrey = isOfIntegers(dataSet) && !isPalette(dataSet);
  const found = isGrey && Array.from({ length: frames }, (_, at) => proposalOf(dataSet, at + 1)).some(isCurve);
  curved.set(dataSet, found);
  return found;
}

/** Values of 8 bits and fewer without a meaning of their own: shades already, which keep their full range. */
export function isOfShades(dataSet: JsonDataSet): boolean {
  const { slope, intercept } = rescaleOf(dataSet, 1);
  return storedBits(dataSet).count <= 8 && slope === 1 && intercept === 0 && !hasModalityTable(dataSet);
}

/** Modality LUT Sequence stands in place of a rescaling. */
export function hasModalityTable(dataSet: JsonDataSet): boolean {
  return items(dataSet, TAG.modalityLut).slice(0, 1).some(isTable);
}

function isTable(item: JsonDataSet): boolean {
  return item[TAG.lutData] !== undefined && numbers(item, TAG.lutDescriptor).length >= 3;
}

const UNSCALED: Rescale = { slope: 1, intercept: 0 };

/** How the samples of a frame are read; `isWindowed` when the reader has chosen a window in place of the curve. */
export async function readingOf(instance: Instance, frame: number, isWindowed: boolean): Promise<Reading | undefined> {
  const { dataSet } = instance;
  if (!isOfIntegers(dataSet)) return undefined;
  // Single bits come as bytes (see frame-bytes).
  const bits = storedBits(dataSet);
  const rescale = rescaleOf(dataSet, frame);
  const plain = { columns: number(dataSet, TAG.columns) ?? 0, bits, black: 0, white: 0, planes: [], overlayBits: [] };
  if (isPalette(dataSet)) {
    return { ...plain, isFlipped: false, modality: UNSCALED, scale: UNSCALED, curve: undefined, isSpread: false, padding: undefined };
  }
  const [item] = hasModalityTable(dataSet) ? items(dataSet, TAG.modalityLut) : [];
  const table = item && (await tableOf(item, bits.isSigned)).table;
  const modality = table ?? rescale;
  const isCurved = hasCurve(instance) && !isWindowed;
  const curve = isCurved ? await curveOf(proposalOf(dataSet, frame), modality, bits) : undefined;
  const isFlipped = !curve && !table && rescale.slope < 0;
  const scale = table || curve ? UNSCALED : isFlipped ? turned(rescale, bits) : rescale;
  const isSpread = proposalOf(dataSet, frame) === undefined && !isOfShades(dataSet);
  const [darkest, brightest] = curve || table ? [0, 65535] : extremes(bits, scale);
  const [black, white] = isWhiteLowest(dataSet) ? [brightest, darkest] : [darkest, brightest];
  const overlays = await overlaysOf(dataSet, frame, bits);
  return { ...plain, isFlipped, modality, scale, curve, isSpread, padding: paddingOf(dataSet), black, white, ...overlays };
}

/** Values beyond any window, where 16 bits have room for them before and after they are rescaled. */
function extremes(bits: StoredBits, { slope, intercept }: Rescale): [darkest: number, brightest: number] {
  const [lowest, highest] = rangeOf(bits);
  if (highest > 32767) return [lowest, highest];
  return [
    Math.min(lowest, Math.max(-32768, Math.ceil((-32768 - intercept) / slope))),
    Math.max(highest, Math.min(32767, Math.floor((32767 - intercept) / slope))),
  ];
}

async function curveOf(proposal: Proposal | undefined, modality: Table | Rescale, bits: StoredBits): Promise<Curve | undefined> {
  if (proposal?.kind === 'window') return { kind: 'window', ...proposal.window, isSigmoid: proposal.isSigmoid };
  const [lowest, highest] = meant(modality, bits);
  if (proposal) {
    const { table, bits: declared } = await tableOf(proposal.item, lowest < 0);
    return { kind: 'table', table, greatest: 2 ** usedBits(table, declared) - 1 };
  }
  return { kind: 'window', center: (lowest + highest + 1) / 2, width: highest - lowest + 1, isSigmoid: false };
}

/** The lowest and the highest value that there can be. */
function meant(modality: Table | Rescale, bits: StoredBits): [lowest: number, highest: number] {
  if ('entries' in modality) return [0, 65535];
  const [first, last] = rangeOf(bits).map((stored) => stored * modality.slope + modality.intercept) as [number, number];
  return [Math.min(first, last), Math.max(first, last)];
}

/** The window that a reader starts from in place of a curve. */
export function windowInsteadOf(dataSet: JsonDataSet, frame: number): Window | undefined {
  const proposal = proposalOf(dataSet, frame);
  if (proposal?.kind !== 'table') return proposal?.window;
  const [entries = 0, first = 0] = numbers(proposal.item, TAG.lutDescriptor);
  const width = entries & 0xffff || 65536;
  const [lowest] = meant(hasModalityTable(dataSet) ? { first: 0, entries: new Uint16Array() } : rescaleOf(dataSet, frame), storedBits(dataSet));
  const from = lowest < 0 && first > 32767 ? first - 65536 : first;
  return { center: from + width / 2, width };
}

/**
 * A table by its descriptor: number of entries, first input, bits (PS3.3 §C.11.1.1).
 *
 * @throws Unsupported for one without entries.
 */
async function tableOf(item: JsonDataSet, isSigned: boolean): Promise<{ table: Table; bits: number }> {
  const [count = 0, first = 0, bits = 16] = numbers(item, TAG.lutDescriptor);
  const length = count & 0xffff || 65536;
  const isNegative = item[TAG.lutDescriptor]?.vr !== 'SS' && isSigned && first > 32767;
  const entries = await entriesOf(item[TAG.lutData], length);
  if (entries.length === 0) throw new Unsupported('table');
  return { table: { first: isNegative ? first - 65536 : first, entries }, bits: bits >= 1 && bits <= 16 ? bits : 16 };
}

/** Words, or bytes where there are too few of them for words. */
async function entriesOf(data: JsonAttribute | undefined, length: number): Promise<Uint16Array> {
  if (data?.Value) return Uint16Array.from(data.Value.slice(0, length).map(Number));
  const bytes = (await bytesOf(data)) ?? new Uint8Array();
  if (bytes.length < length * 2 && bytes.length >= length) return Uint16Array.from(bytes.subarray(0, length));
  return wordsOf(bytes).slice(0, length);
}

function wordsOf(bytes: Uint8Array): Uint16Array {
  return Uint16Array.from({ length: bytes.length >> 1 }, (_, index) => (bytes[index * 2] ?? 0) | ((bytes[index * 2 + 1] ?? 0) << 8));
}

/** Some devices declare 16 bits whatever they write: the greatest entry tells. */
function usedBits({ entries }: Table, bits: number): number {
  const greatest = entries.reduce((most, entry) => Math.max(most, entry), 0);
  if (bits !== 16 || greatest === 0 || greatest > 0xfff) return bits;
  return greatest <= 0xff ? 8 : greatest <= 0x3ff ? 10 : 12;
}

/** As US under signed samples or as SS under unsigned ones, as some devices give it: the bits count. */
function paddingOf(dataSet: JsonDataSet): [number, number] | undefined {
  const allocated = number(dataSet, TAG.bitsAllocated) ?? 16;
  const [lowest] = rangeOf({ count: allocated, high: allocated - 1, isSigned: number(dataSet, TAG.pixelRepresentation) === 1 });
  const values = 2 ** allocated;
  const stored = (tag: Tag) => {
    const value = number(dataSet, tag);
    return value === undefined ? undefined : ((((value - lowest) % values) + values) % values) + lowest;
  };
  const value = stored(TAG.pixelPadding);
  if (value === undefined) return undefined;
  const limit = stored(TAG.pixelPaddingLimit) ?? value;
  return [Math.min(value, limit), Math.max(value, limit)];
}

/** The graphics that lie over a frame (PS3.3 §C.9.2, §C.9.3); regions of interest would hide what they mark. */
async function overlaysOf(dataSet: JsonDataSet, frame: number, bits: StoredBits): Promise<Pick<Reading, 'planes' | 'overlayBits'>> {
  const planes: Plane[] = [];
  const overlayBits: number[] = [];
  const allocated = number(dataSet, TAG.bitsAllocated) ?? 16;
  for (const group of OVERLAYS) {
    if (text(dataSet, `${group}0040`) !== 'G') continue;
    const bit = number(dataSet, `${group}0102`);
    if (dataSet[`${group}3000`]) {
      const plane = await planeOf(dataSet, group, frame);
      if (plane) planes.push(plane);
    } else if (bit !== undefined && bit < allocated && (bit > bits.high || bit <= bits.high - bits.count)) {
      overlayBits.push(bit);
    }
  }
  return { planes, overlayBits };
}

/** Undefined where there are fewer bits than it says, or none for this frame. */
async function planeOf(dataSet: JsonDataSet, group: (typeof OVERLAYS)[number], frame: number): Promise<Plane | undefined> {
  const [rows, columns] = [number(dataSet, `${group}0010`) ?? 0, number(dataSet, `${group}0011`) ?? 0];
  const [row = 1, column = 1] = numbers(dataSet, `${group}0050`);
  const [count, first] = [number(dataSet, `${group}0015`) ?? 0, number(dataSet, `${group}0051`)];
  const isOfAll = count === 0 || (count === 1 && first === undefined);
  const before = isOfAll ? 0 : frame - (first ?? 1);
  if (before < 0 || (!isOfAll && before >= count)) return undefined;
  const bits = await bytesOf(dataSet[`${group}3000`]);
  const from = rows * columns * before;
  if (!bits || columns === 0 || from + rows * columns > bits.length * 8) return undefined;
  return { rows, columns, row, column, bits, from };
}

/** Values that came lately, as the frames of an instance share theirs. */
const fetched = new Map<string, Promise<Uint8Array>>();
const MOST_FETCHED = 16;

/** A binary value, whether it is inline or aside (PS3.18 §F.2.6, §F.2.7). */
export async function bytesOf(attribute: JsonAttribute | undefined): Promise<Uint8Array | undefined> {
  const { BulkDataURI: uri, InlineBinary: inline } = attribute ?? {};
  if (!uri) return inline ? Uint8Array.from(atob(inline), (character) => character.charCodeAt(0)) : undefined;
  const bytes = fetched.get(uri) ?? bulkData(uri);
  fetched.set(uri, bytes);
  bytes.catch(() => fetched.delete(uri));
  const [oldest] = fetched.keys();
  if (oldest !== undefined && fetched.size > MOST_FETCHED) fetched.delete(oldest);
  return bytes;
}
