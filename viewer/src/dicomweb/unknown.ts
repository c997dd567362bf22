/** Attributes that were sent as UN, though the standard knows them (PS3.5 §6.2.2), read as what they are. */

import type { JsonAttribute, JsonDataSet } from './attributes';
import * as TAG from './tags';

/** What an image is drawn and ordered by, and is written as text of numbers. */
const NUMBERS: readonly string[] = [
  TAG.instanceNumber,
  TAG.imagePosition,
  TAG.imageOrientation,
  TAG.numberOfFrames,
  TAG.pixelSpacing,
  TAG.imagerPixelSpacing,
  TAG.windowCenter,
  TAG.windowWidth,
  TAG.rescaleIntercept,
  TAG.rescaleSlope,
];

export function known(dataSet: JsonDataSet): JsonDataSet {
  const read: JsonDataSet = {};
  for (const tag of NUMBERS) {
    const attribute = dataSet[tag];
    const values = attribute?.vr === 'UN' ? numbersOf(attribute) : undefined;
    if (values) read[tag] = { vr: 'DS', Value: values };
  }
  return { ...dataSet, ...read };
}

function numbersOf({ InlineBinary }: JsonAttribute): number[] | undefined {
  const values = atob(InlineBinary ?? '').split('\\').map(Number);
  return InlineBinary && values.every(Number.isFinite) ? values : undefined;
}
