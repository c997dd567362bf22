/** The data set of an instance as Cornerstone can draw it. */

import { number, numbers, text, type JsonAttribute, type JsonDataSet, type Tag } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import type { Instance } from '../dicomweb/series';
import { entries, expanded } from './palette';
import {
  bytesOf,
  hasCurve,
  hasModalityTable,
  holding,
  isOfIntegers,
  isOfShades,
  isPalette,
  proposalOf,
  rescaleIn,
  storedBits,
  turned,
  windowIn,
} from './reading';
import { BRIGHTEST, rangeOf, type StoredBits } from './samples';
import { Unsupported } from './unsupported';

/**
 * Mends what would draw a wrong or an empty image; everything else stays as it was received.
 *
 * What the samples of grey become (see `samples`) is described here as what it is then; `isWindowed` when the reader has
 * chosen a window in place of the curve that is proposed.
 *
 * @throws Unsupported for samples that Cornerstone draws wrong: colours of more than 8 bits, integers of more than 16.
 */
export async function drawable(instance: Instance, isWindowed = false): Promise<JsonDataSet> {
  const { dataSet } = instance;
  const bits = number(dataSet, TAG.bitsAllocated) ?? 0;
  const samples = number(dataSet, TAG.samplesPerPixel) ?? 1;
  const isInteger = dataSet[TAG.pixelData] !== undefined;
  if ((samples > 1 && bits > 8) || (isInteger && bits > 16)) throw new Unsupported(`${samples} × ${bits} bits`);
  const mended = { ...withGreys(instance, isWindowed), ...asRepaired(dataSet) };
  return isPalette(dataSet) ? withPalette(mended) : mended;
}

const WINDOW = [TAG.windowCenter, TAG.windowWidth, TAG.voiLutFunction] as const;
const RESCALE = [TAG.rescaleSlope, TAG.rescaleIntercept] as const;

/** The scale and the window of what is read from the samples. */
function withGreys(instance: Instance, isWindowed: boolean): JsonDataSet {
  const dataSet = instance.frames === 1 ? withGroups(instance.dataSet) : instance.dataSet;
  if (!isOfIntegers(dataSet) || isPalette(dataSet)) return throughout(dataSet, inTermsOfLinear);
  if (hasCurve(instance) && !isWindowed) {
    const plain = throughout(dataSet, (holder) => without(holder, [...WINDOW, ...RESCALE]));
    // What stands for brightness is no uptake and no dose.
    return { ...plain, [TAG.modality]: value('CS', 'OT'), ...spanning(0, BRIGHTEST) };
  }
  const bits = storedBits(dataSet);
  const scaled = hasModalityTable(dataSet) ? (holder: JsonDataSet) => without(holder, RESCALE) : rising(bits);
  const mended = throughout(dataSet, (holder) => inTermsOfLinear(scaled(holder)));
  const isBare = proposalOf(dataSet, 1) === undefined && isOfShades(dataSet);
  return isBare ? { ...mended, ...spanning(...rangeOf(bits)) } : mended;
}

/** Cornerstone reads functional groups (PS3.3 §C.7.6.16) only where there is more than one frame. */
function withGroups(dataSet: JsonDataSet): JsonDataSet {
  const taken = (group: Tag, tags: readonly Tag[], of: Tag) => {
    const holder = holding(dataSet, 1, group, of);
    return Object.fromEntries(tags.flatMap((tag) => (holder[tag] ? [[tag, holder[tag]]] : [])));
  };
  return {
    ...dataSet,
    ...taken(TAG.frameVoiLut, WINDOW, TAG.windowCenter),
    ...taken(TAG.pixelValueTransformation, RESCALE, TAG.rescaleSlope),
  };
}

/** The data set with a change to all that may hold the scale or the window of a frame. */
function throughout(dataSet: JsonDataSet, change: (holder: JsonDataSet) => JsonDataSet): JsonDataSet {
  const each = (holder: JsonDataSet, tag: Tag, changed: (item: JsonDataSet) => JsonDataSet): JsonDataSet => {
    const sequence = holder[tag];
    if (!sequence) return {};
    return { [tag]: { ...sequence, Value: (sequence.Value ?? []).map((item) => changed((item ?? {}) as JsonDataSet)) } };
  };
  const ofGroups = (groups: JsonDataSet): JsonDataSet => ({
    ...groups,
    ...each(groups, TAG.frameVoiLut, change),
    ...each(groups, TAG.pixelValueTransformation, change),
  });
  const inner = { ...each(dataSet, TAG.sharedGroups, ofGroups), ...each(dataSet, TAG.perFrameGroups, ofGroups) };
  return { ...change(dataSet), ...inner };
}

/** Some devices send a window of width 0, which PS3.3 §C.11.2.1.2 does not allow; all values are shown then. */
function inTermsOfLinear(holder: JsonDataSet): JsonDataSet {
  if (!holder[TAG.windowCenter] && !holder[TAG.windowWidth]) return holder;
  const { window } = windowIn(holder) ?? {};
  const rest = without(holder, WINDOW);
  return window ? { ...rest, [TAG.windowCenter]: value('DS', window.center), [TAG.windowWidth]: value('DS', window.width) } : rest;
}

/** A scale that falls, of samples that are turned upside down, is one that rises. */
function rising(bits: StoredBits): (holder: JsonDataSet) => JsonDataSet {
  return (holder) => {
    if (!holder[TAG.rescaleSlope]) return holder;
    const given = rescaleIn(holder);
    const { slope, intercept } = given.slope < 0 ? turned(given, bits) : given;
    return { ...holder, [TAG.rescaleSlope]: value('DS', slope), [TAG.rescaleIntercept]: value('DS', intercept) };
  };
}

function spanning(lowest: number, highest: number): JsonDataSet {
  return {
    [TAG.windowCenter]: value('DS', (lowest + highest + 1) / 2),
    [TAG.windowWidth]: value('DS', highest - lowest + 1),
  };
}

function without(holder: JsonDataSet, tags: readonly Tag[]): JsonDataSet {
  return Object.fromEntries(Object.entries(holder).filter(([tag]) => !tags.some((other) => other === tag)));
}

function value(vr: string, is: string | number): JsonAttribute {
  return { vr, Value: [is] };
}

/** What the frames are once they are repaired (see frame-bytes). */
function asRepaired(dataSet: JsonDataSet): JsonDataSet {
  if (number(dataSet, TAG.bitsAllocated) === 1) {
    return { [TAG.bitsAllocated]: value('US', 8), [TAG.bitsStored]: value('US', 8), [TAG.highBit]: value('US', 7) };
  }
  if (text(dataSet, TAG.photometricInterpretation) === 'YBR_FULL_422') {
    return { [TAG.photometricInterpretation]: value('CS', 'YBR_FULL') };
  }
  return {};
}

const PALETTE = [
  { plain: TAG.redPalette, segmented: TAG.redSegments, descriptor: TAG.redDescriptor },
  { plain: TAG.greenPalette, segmented: TAG.greenSegments, descriptor: TAG.greenDescriptor },
  { plain: TAG.bluePalette, segmented: TAG.blueSegments, descriptor: TAG.blueDescriptor },
] as const;

async function withPalette(dataSet: JsonDataSet): Promise<JsonDataSet> {
  const tables: JsonDataSet = {};
  for (const { plain, segmented, descriptor } of PALETTE) {
    const table = await bytesOf(dataSet[plain]);
    const segments = table ? undefined : await bytesOf(dataSet[segmented]);
    const bytes = table ?? (segments && fromSegments(segments, entries(numbers(dataSet, descriptor))));
    if (!bytes) throw new Unsupported('palette');
    tables[plain] = { vr: 'OW', InlineBinary: base64(bytes) };
  }
  return { ...dataSet, ...tables };
}

function fromSegments(bytes: Uint8Array, length: number): Uint8Array | undefined {
  const table = expanded(new Uint16Array(bytes.slice().buffer, 0, bytes.length >> 1), length);
  return table && new Uint8Array(table.buffer);
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
