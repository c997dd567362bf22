/** Lengths drawn on images; they last as long as the page. */

import { signal, type ReadonlySignal } from '@preact/signals';
import type { StackImage } from '../viewport/stack';
import { calibrationOf, distance, type Point, type Scale } from './calibration';

/** Ends in pixels of the image. */
export interface Line {
  from: Point;
  to: Point;
}

export interface Lengths {
  lines: ReadonlySignal<ReadonlyMap<string, readonly Line[]>>;
  begin: (image: StackImage, at: Point) => void;
  extend: (to: Point) => void;
  end: () => void;
  clear: (image: StackImage) => void;
}

/** A line that is shorter than this many pixels was a click. */
const SHORTEST = 2;

export function createLengths(): Lengths {
  const lines = signal<ReadonlyMap<string, readonly Line[]>>(new Map());
  let drawing: string | undefined;

  const change = (imageId: string, changed: (before: readonly Line[]) => readonly Line[]) => {
    lines.value = new Map(lines.value).set(imageId, changed(lines.value.get(imageId) ?? []));
  };

  return {
    lines,
    begin: (image, at) => {
      drawing = image.imageId;
      change(drawing, (before) => [...before, { from: at, to: at }]);
    },
    extend: (to) => {
      if (drawing) change(drawing, (before) => before.map((line, index) => (index === before.length - 1 ? { ...line, to } : line)));
    },
    end: () => {
      if (drawing) change(drawing, (before) => before.filter(isLine));
      drawing = undefined;
    },
    clear: (image) => change(image.imageId, () => []),
  };
}

function isLine({ from, to }: Line): boolean {
  return Math.hypot(to.x - from.x, to.y - from.y) >= SHORTEST;
}

export function lengthOf(line: Line, image: StackImage): { length: number; scale: Scale } {
  const calibration = calibrationOf(image.instance.dataSet, image.number, line.from);
  return { length: distance(line.from, line.to, calibration), scale: calibration.scale };
}
