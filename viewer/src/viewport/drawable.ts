/** The data set of an instance as Cornerstone can draw it. */

import { number, numbers, text, type JsonAttribute, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { bulkData } from '../dicomweb/bulk';
import type { Instance } from '../dicomweb/series';
import { entries, expanded } from './palette';

/** An image that would be drawn wrong, and is told about instead. */
export class Unsupported extends Error {}

/**
 * Mends what would draw a wrong or an empty image; everything else stays as it was received.
 *
 * @throws Unsupported for samples that Cornerstone draws wrong: colours of more than 8 bits, integers of more than 16.
 */
export async function drawable({ dataSet }: Instance): Promise<JsonDataSet> {
  const bits = number(dataSet, TAG.bitsAllocated) ?? 0;
  const samples = number(dataSet, TAG.samplesPerPixel) ?? 1;
  const isInteger = dataSet[TAG.pixelData] !== undefined;
  if ((samples > 1 && bits > 8) || (isInteger && bits > 16)) throw new Unsupported(`${samples} × ${bits} bits`);
  const mended = { ...withoutVoidWindow(dataSet), ...asRepaired(dataSet) };
  return text(dataSet, TAG.photometricInterpretation) === 'PALETTE COLOR' ? withPalette(mended) : mended;
}

/** Some devices send a window of width 0, which PS3.3 §C.11.2.1.2 does not allow; all values are shown then. */
function withoutVoidWindow(dataSet: JsonDataSet): JsonDataSet {
  const width = number(dataSet, TAG.windowWidth);
  if (width === undefined || width > 0) return dataSet;
  const { [TAG.windowWidth]: _width, [TAG.windowCenter]: _center, ...rest } = dataSet;
  return rest;
}

/** What the frames are once they are repaired (see frame-bytes). */
function asRepaired(dataSet: JsonDataSet): JsonDataSet {
  const value = (vr: string, is: string | number): JsonAttribute => ({ vr, Value: [is] });
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

/** A binary value, whether it is inline or aside (PS3.18 §F.2.6, §F.2.7). */
async function bytesOf(attribute: JsonAttribute | undefined): Promise<Uint8Array | undefined> {
  if (attribute?.BulkDataURI) return bulkData(attribute.BulkDataURI);
  if (!attribute?.InlineBinary) return undefined;
  return Uint8Array.from(atob(attribute.InlineBinary), (character) => character.charCodeAt(0));
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
