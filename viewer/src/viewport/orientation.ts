/** Which way of the patient the edges of an image are. */

import { items, numbers, texts, type JsonDataSet } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import type { StackImage } from './stack';

/** Letters of the patient's sides: L R A P H F, several for an oblique one (PS3.3 §C.7.6.1.1.1). */
export interface Edges {
  left: string;
  right: string;
  top: string;
  bottom: string;
}

const OPPOSITE: Record<string, string> = { L: 'R', R: 'L', A: 'P', P: 'A', H: 'F', F: 'H' };

/** Sides of an image; undefined when the data set does not tell. */
export function edgesOf({ instance, number }: StackImage): Edges | undefined {
  const { dataSet } = instance;
  const cosines = cosinesOf(dataSet, number);
  if (cosines.length === 6) return edges(letters(cosines.slice(0, 3)), letters(cosines.slice(3)));
  const [row, column] = texts(dataSet, TAG.patientOrientation);
  return row && column ? edges(row, column) : undefined;
}

/** Image Orientation (Patient), of the frame where each has its own (PS3.3 §C.7.6.16.2.4). */
function cosinesOf(dataSet: JsonDataSet, frame: number): number[] {
  const groups = [items(dataSet, TAG.perFrameGroups)[frame - 1], items(dataSet, TAG.sharedGroups)[0]];
  const planes = groups.map((group) => group && items(group, TAG.planeOrientation)[0]);
  const plane = [dataSet, ...planes].find((one) => one?.[TAG.imageOrientation]);
  return plane ? numbers(plane, TAG.imageOrientation) : [];
}

/** A row runs to the right and a column down. */
function edges(row: string, column: string): Edges {
  return { right: row, left: opposite(row), bottom: column, top: opposite(column) };
}

function opposite(side: string): string {
  return [...side].map((letter) => OPPOSITE[letter] ?? letter).join('');
}

/** An axis counts that a direction is at least this much along. */
const LEAST = 0.25;

/** Sides that a direction points to, the nearest first; x grows to the left, y to the back, z to the head. */
function letters(direction: number[]): string {
  const [x = 0, y = 0, z = 0] = direction;
  return [
    { along: x, side: x > 0 ? 'L' : 'R' },
    { along: y, side: y > 0 ? 'P' : 'A' },
    { along: z, side: z > 0 ? 'H' : 'F' },
  ]
    .filter(({ along }) => Math.abs(along) >= LEAST)
    .sort((a, b) => Math.abs(b.along) - Math.abs(a.along))
    .map(({ side }) => side)
    .join('');
}
