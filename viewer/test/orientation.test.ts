import { describe, expect, test } from 'vitest';
import type { JsonDataSet } from '../src/dicomweb/attributes';
import { readInstance } from '../src/dicomweb/series';
import { edgesOf } from '../src/viewport/orientation';

const cosines = (...Value: number[]) => ({ '00200037': { vr: 'DS', Value } });

function edges(dataSet: JsonDataSet, frame = 1) {
  return edgesOf({ instance: readInstance({ studyInstanceUid: '1', seriesInstanceUid: '2' }, dataSet), number: frame, imageId: '' });
}

describe('the sides of an image', () => {
  test.each([
    { plane: 'axial', of: cosines(1, 0, 0, 0, 1, 0), is: { left: 'R', right: 'L', top: 'A', bottom: 'P' } },
    { plane: 'coronal', of: cosines(1, 0, 0, 0, 0, -1), is: { left: 'R', right: 'L', top: 'H', bottom: 'F' } },
    { plane: 'sagittal', of: cosines(0, 1, 0, 0, 0, -1), is: { left: 'A', right: 'P', top: 'H', bottom: 'F' } },
    { plane: 'oblique', of: cosines(1, 0, 0, 0, 0.8, -0.6), is: { left: 'R', right: 'L', top: 'AH', bottom: 'PF' } },
  ])('of an $plane plane', ({ of, is }) => {
    expect(edges(of)).toEqual(is);
  });

  test('of a projection are told', () => {
    expect(edges({ '00200020': { vr: 'CS', Value: ['L', 'F'] } })).toEqual({ left: 'R', right: 'L', top: 'H', bottom: 'F' });
  });

  test('are those of the frame', () => {
    const group = (...values: number[]) => ({ '00209116': { vr: 'SQ', Value: [cosines(...values)] } });
    const frames = { '52009230': { vr: 'SQ', Value: [group(1, 0, 0, 0, 1, 0), group(-1, 0, 0, 0, 1, 0)] } };
    expect(edges(frames, 2)?.right).toBe('R');
  });

  test('are not guessed', () => {
    expect(edges({})).toBeUndefined();
    expect(edges({ '00200020': { vr: 'CS', Value: ['L'] } })).toBeUndefined();
  });
});
