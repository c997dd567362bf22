import { describe, expect, test } from 'vitest';
import type { JsonDataSet } from '../src/dicomweb/attributes';
import { readInstance } from '../src/dicomweb/series';
import { calibrationOf, distance } from '../src/measurements/calibration';
import { createLengths } from '../src/measurements/lengths';
import { stackOf } from '../src/viewport/stack';

const AT = { x: 50, y: 50 };
const ds = (...Value: number[]) => ({ vr: 'DS', Value });
const sequence = (...Value: JsonDataSet[]) => ({ vr: 'SQ', Value });

describe('the size of a pixel', () => {
  test('is the pixel spacing, rows first', () => {
    expect(calibrationOf({ '00280030': ds(0.5, 0.25) }, 1, AT)).toEqual({ scale: 'millimetre', x: 0.25, y: 0.5 });
  });

  test('is that of the frame, else that of all frames', () => {
    const measures = (size: number) => ({ '00289110': sequence({ '00280030': ds(size, size) }) });
    const shared = { '52009229': sequence(measures(2)) };
    expect(calibrationOf(shared, 2, AT).x).toBe(2);
    expect(calibrationOf({ ...shared, '52009230': sequence(measures(3), measures(4)) }, 2, AT).x).toBe(4);
  });

  test('is that of the detector where only that is known', () => {
    expect(calibrationOf({ '00181164': ds(0.1, 0.1) }, 1, AT).scale).toBe('detector');
    expect(calibrationOf({ '00181164': ds(0.1, 0.1), '00280030': ds(0.1, 0.1) }, 1, AT).scale).toBe('detector');
    expect(calibrationOf({ '00181164': ds(0.1, 0.1), '00280030': ds(0.08, 0.08) }, 1, AT).scale).toBe('millimetre');
  });

  const region = (unit: number) => ({
    '00186018': ds(10),
    '0018601A': ds(10),
    '0018601C': ds(90),
    '0018601E': ds(90),
    '00186024': ds(unit),
    '00186026': ds(unit),
    '0018602C': ds(0.02),
    '0018602E': ds(0.03),
  });

  test('is that of the ultrasound region', () => {
    const calibration = calibrationOf({ '00186011': sequence(region(3)) }, 1, AT);
    expect(calibration.scale).toBe('millimetre');
    expect(calibration.x).toBeCloseTo(0.2);
    expect(calibration.y).toBeCloseTo(0.3);
  });

  test('is not known outside the region, nor where it measures time', () => {
    expect(calibrationOf({ '00186011': sequence(region(3)) }, 1, { x: 5, y: 5 }).scale).toBe('pixel');
    expect(calibrationOf({ '00186011': sequence(region(4)) }, 1, AT).scale).toBe('pixel');
    expect(calibrationOf({}, 1, AT)).toEqual({ scale: 'pixel', x: 1, y: 1 });
  });

  test('gives a distance', () => {
    expect(distance({ x: 0, y: 0 }, { x: 6, y: 4 }, { scale: 'millimetre', x: 0.5, y: 1 })).toBe(5);
  });
});

describe('a length', () => {
  const { images } = stackOf([
    readInstance(
      { studyInstanceUid: '1', seriesInstanceUid: '2' },
      { '00280010': ds(9), '00280011': ds(9), '7FE00010': { vr: 'OW', BulkDataURI: 'x' } },
    ),
  ]);
  const image = images[0];

  test('is drawn from where the drag begins to where it ends, and a click draws none', () => {
    const lengths = createLengths();
    if (!image) throw new Error('there is an image');
    lengths.begin(image, { x: 1, y: 1 });
    lengths.extend({ x: 5, y: 1 });
    lengths.extend({ x: 5, y: 4 });
    lengths.end();
    lengths.begin(image, { x: 7, y: 7 });
    lengths.end();
    expect(lengths.lines.value.get(image.imageId)).toEqual([{ from: { x: 1, y: 1 }, to: { x: 5, y: 4 } }]);
    lengths.clear(image);
    expect(lengths.lines.value.get(image.imageId)).toEqual([]);
  });
});
