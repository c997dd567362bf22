/** Native frames in forms that Cornerstone does not read, turned into forms that it does. */

import { number, text, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { firstPart, withBody } from '../dicomweb/multipart';

/** Native samples in, native samples out. */
export type Repair = (bytes: Uint8Array) => Uint8Array;

/** What the native frames of an instance need; undefined when Cornerstone reads them as they are. */
export function repairOf(dataSet: JsonDataSet): Repair | undefined {
  const pixels = (number(dataSet, TAG.rows) ?? 0) * (number(dataSet, TAG.columns) ?? 0);
  if (number(dataSet, TAG.bitsAllocated) === 1) return (bytes) => unpackedBits(bytes, pixels);
  if (text(dataSet, TAG.photometricInterpretation) === 'YBR_FULL_422') return (bytes) => fullChrominance(bytes, pixels);
  return undefined;
}

/** Single bits, the first in bit 0 (PS3.5 §8.1.1), as a byte each. */
export function unpackedBits(bytes: Uint8Array, pixels: number): Uint8Array {
  return Uint8Array.from({ length: pixels }, (_, index) => ((bytes[index >> 3] ?? 0) >> (index & 7)) & 1);
}

/** YBR_FULL_422, where two pixels share their chrominance (PS3.3 §C.7.6.3.1.2), as YBR_FULL. */
export function fullChrominance(bytes: Uint8Array, pixels: number): Uint8Array {
  const full = new Uint8Array(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const pair = (pixel >> 1) * 4;
    full[pixel * 3] = bytes[pair + (pixel & 1)] ?? 0;
    full[pixel * 3 + 1] = bytes[pair + 2] ?? 0;
    full[pixel * 3 + 2] = bytes[pair + 3] ?? 0;
  }
  return full;
}

const NATIVE = /transfer-syntax="?1\.2\.840\.10008\.1\.2(?:\.1)?"?\s*(?:;|$)/im;

/** The answer with its frame repaired, if the frame is native; a compressed one is the decoder's. */
export function repaired(answer: ArrayBuffer, contentType: string, repair: Repair): ArrayBuffer {
  const bytes = new Uint8Array(answer);
  if (!contentType.startsWith('multipart/')) {
    return NATIVE.test(contentType) ? new Uint8Array(repair(bytes)).buffer : answer;
  }
  const part = firstPart(bytes);
  if (!part || !NATIVE.test(part.head)) return answer;
  return withBody(bytes, part, repair(bytes.subarray(part.start, part.end))).buffer;
}
