/** How Cornerstone asks the server for frames, and what is done to the answers before it decodes them. */

import { number, text, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { repairOf, repaired, type Repair } from './frame-bytes';
import { storedBits } from './reading';
import type { StackImage } from './stack';

interface Expectation {
  accept: string | undefined;
  repair: Repair | undefined;
}

const expected = new Map<string, Expectation>();
const repairs = new WeakMap<XMLHttpRequest, Repair>();

const STORED = 'multipart/related; type=application/octet-stream; transfer-syntax=*';
const NATIVE = 'multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1';

/** Notes what the frames of an image need, under the name that Cornerstone knows it by; a usual image needs nothing. */
export function expectFrame({ instance }: StackImage, imageId: string): void {
  const accept = acceptOf(instance.dataSet);
  const repair = repairOf(instance.dataSet);
  if (accept || repair) expected.set(imageId, { accept, repair });
}

/**
 * Frames that the server is to decode if it can, since the browser's decoders get them wrong: they take every colour
 * JPEG for YCbCr, where the data set may say RGB (PS3.5 §8.2.1), and run-length coded single bits for bytes; and of
 * JPEG 2000 and JPEG Lossless in 8 bits and fewer they cut negative values off. What was never lossy is no such JPEG.
 */
export function acceptOf(dataSet: JsonDataSet): string | undefined {
  const isRgb = text(dataSet, TAG.photometricInterpretation) === 'RGB';
  const isSingleBit = number(dataSet, TAG.bitsAllocated) === 1;
  const { count, isSigned } = storedBits(dataSet);
  const isMisread = isRgb ? text(dataSet, TAG.lossyImageCompression) !== '00' : isSingleBit || (isSigned && count <= 8);
  return isMisread ? `${NATIVE}, ${STORED};q=0.5` : undefined;
}

/** Options of the image loader. */
export const frameRequests = {
  beforeSend(request: XMLHttpRequest, imageId: string): Record<string, string> {
    const expectation = expected.get(imageId);
    if (expectation?.repair) repairs.set(request, expectation.repair);
    return expectation?.accept ? { Accept: expectation.accept } : {};
  },
  async beforeProcessing(request: XMLHttpRequest): Promise<ArrayBuffer> {
    const answer = request.response as ArrayBuffer;
    const repair = repairs.get(request);
    return repair ? repaired(answer, request.getResponseHeader('Content-Type') ?? '', repair) : answer;
  },
};
