/** How Cornerstone asks the server for frames, and what is done to the answers before it decodes them. */

import { number, text, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import { repairOf, repaired, type Repair } from './frame-bytes';
import type { StackImage } from './stack';

interface Expectation {
  accept: string | undefined;
  repair: Repair | undefined;
}

const expected = new Map<string, Expectation>();
const repairs = new WeakMap<XMLHttpRequest, Repair>();

const STORED = 'multipart/related; type=application/octet-stream; transfer-syntax=*';
const NATIVE = 'multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1';

/** Notes what the frames of an image need; a usual image needs nothing. */
export function expectFrame({ instance, imageId }: StackImage): void {
  const accept = acceptOf(instance.dataSet);
  const repair = repairOf(instance.dataSet);
  if (accept || repair) expected.set(imageId, { accept, repair });
}

/**
 * Frames that the server is to decode if it can, since the browser's decoders get them wrong: they take every colour
 * JPEG for YCbCr, where the data set may say RGB (PS3.5 §8.2.1), and run-length coded single bits for bytes. What was
 * never lossy is no such JPEG.
 */
export function acceptOf(dataSet: JsonDataSet): string | undefined {
  const isRgb = text(dataSet, TAG.photometricInterpretation) === 'RGB';
  const isMisread = isRgb ? text(dataSet, TAG.lossyImageCompression) !== '00' : number(dataSet, TAG.bitsAllocated) === 1;
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
