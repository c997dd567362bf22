/** How large a pixel is, as the data set tells (PS3.3 §10.7). */

import { items, number, numbers, text, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';

/**
 * `detector`: millimetres where the rays hit, larger than in the patient (PS3.3 §10.7.1.3); `pixel`: nothing is known.
 */
export type Scale = 'millimetre' | 'detector' | 'pixel';

export interface Calibration {
  scale: Scale;
  /** Size of a pixel along a row and along a column; 1 when it is not known. */
  x: number;
  y: number;
}

export interface Point {
  x: number;
  y: number;
}

const UNKNOWN: Calibration = { scale: 'pixel', x: 1, y: 1 };
/** Physical Units of an ultrasound region (PS3.3 §C.8.5.5.1.15). */
const CENTIMETRE = 3;

/** Calibration of a frame, counted from 1, at a point of it. */
export function calibrationOf(dataSet: JsonDataSet, frame: number, at: Point): Calibration {
  const spacing = spacingOf(dataSet, TAG.pixelSpacing) ?? functionalSpacing(dataSet, frame);
  const imager = spacingOf(dataSet, TAG.imagerPixelSpacing);
  if (spacing) {
    const isDetector = imager?.x === spacing.x && imager.y === spacing.y && text(dataSet, TAG.calibrationType) === '';
    return { scale: isDetector ? 'detector' : 'millimetre', ...spacing };
  }
  const region = ultrasoundSpacing(dataSet, at);
  if (region) return { scale: 'millimetre', ...region };
  return imager ? { scale: 'detector', ...imager } : UNKNOWN;
}

/** Row spacing comes first: the distance between rows, down a column (PS3.3 §10.7.1.3). */
function spacingOf(dataSet: JsonDataSet | undefined, tag: typeof TAG.pixelSpacing | typeof TAG.imagerPixelSpacing): Point | undefined {
  const [y, x] = dataSet ? numbers(dataSet, tag) : [];
  return x && y && x > 0 && y > 0 ? { x, y } : undefined;
}

/** Pixel Measures of the frame, or those that all frames share (PS3.3 §C.7.6.16.2.1). */
function functionalSpacing(dataSet: JsonDataSet, frame: number): Point | undefined {
  const groups = [items(dataSet, TAG.perFrameGroups)[frame - 1], items(dataSet, TAG.sharedGroups)[0]];
  for (const group of groups) {
    const spacing = group && spacingOf(items(group, TAG.pixelMeasures)[0], TAG.pixelSpacing);
    if (spacing) return spacing;
  }
  return undefined;
}

/** Spacing of the ultrasound region that a point lies in, if it measures length both ways (PS3.3 §C.8.5.5). */
function ultrasoundSpacing(dataSet: JsonDataSet, at: Point): Point | undefined {
  const region = items(dataSet, TAG.ultrasoundRegions).find((one) => {
    const value = (tag: Parameters<typeof number>[1], otherwise: number) => number(one, tag) ?? otherwise;
    const isInside =
      at.x >= value(TAG.regionMinX, 0) &&
      at.x <= value(TAG.regionMaxX, -1) &&
      at.y >= value(TAG.regionMinY, 0) &&
      at.y <= value(TAG.regionMaxY, -1);
    return isInside && value(TAG.unitsX, 0) === CENTIMETRE && value(TAG.unitsY, 0) === CENTIMETRE;
  });
  const [x, y] = region ? [number(region, TAG.deltaX), number(region, TAG.deltaY)] : [];
  return x && y ? { x: Math.abs(x) * 10, y: Math.abs(y) * 10 } : undefined;
}

export function distance(from: Point, to: Point, { x, y }: Calibration): number {
  return Math.hypot((to.x - from.x) * x, (to.y - from.y) * y);
}
