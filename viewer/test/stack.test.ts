import { describe, expect, test } from 'vitest';
import type { JsonDataSet } from '../src/dicomweb/attributes';
import { frameUrl, readInstance, renderedUrl } from '../src/dicomweb/series';
import { known } from '../src/dicomweb/unknown';
import { firstToShow } from '../src/study/state';
import { drawable } from '../src/viewport/drawable';
import { kindOf, stackOf } from '../src/viewport/stack';

const SERIES = { studyInstanceUid: '1.2', seriesInstanceUid: '1.2.3' };

const image = (uid: string, more: JsonDataSet = {}): JsonDataSet => ({
  '00080018': { vr: 'UI', Value: [uid] },
  '00280010': { vr: 'US', Value: [4] },
  '00280011': { vr: 'US', Value: [4] },
  '7FE00010': { vr: 'OW', BulkDataURI: 'pixels' },
  ...more,
});

describe('the stack of a series', () => {
  test('has an image for each frame', () => {
    const film = readInstance(SERIES, image('9', { '00280008': { vr: 'IS', Value: ['3'] } }));
    const { images } = stackOf([readInstance(SERIES, image('8')), film]);
    expect(images.map(({ imageId }) => imageId)).toEqual([
      'wadors:/dicom-web/studies/1.2/series/1.2.3/instances/8/frames/1',
      'wadors:/dicom-web/studies/1.2/series/1.2.3/instances/9/frames/1',
      'wadors:/dicom-web/studies/1.2/series/1.2.3/instances/9/frames/2',
      'wadors:/dicom-web/studies/1.2/series/1.2.3/instances/9/frames/3',
    ]);
  });

  test('sets instances without pixel data apart', () => {
    const report = readInstance(SERIES, { '00080018': { vr: 'UI', Value: ['7'] } });
    const { '7FE00010': _, ...withoutPixels } = image('6');
    const stack = stackOf([report, readInstance(SERIES, withoutPixels), readInstance(SERIES, image('8'))]);
    expect(stack.images).toHaveLength(1);
    expect(stack.others.map(({ sopInstanceUid }) => sopInstanceUid)).toEqual(['7', '6']);
  });
});

test('what holds no image is called by its kind', () => {
  expect(kindOf('1.2.840.10008.5.1.4.1.1.88.33')).toBe('kind.report');
  expect(kindOf('1.2.840.10008.5.1.4.1.1.88.59')).toBe('kind.key-object');
  expect(kindOf('1.2.840.10008.5.1.4.1.1.104.1')).toBe('kind.document');
  expect(kindOf('1.2.3')).toBe('kind.other');
});

test('the first series shown is one with images', () => {
  const series = (modality: string) => ({ ...SERIES, modality, seriesNumber: 1, seriesDescription: '', bodyPartExamined: '', instanceCount: 1 });
  expect(firstToShow([series('SR'), series('CT')])?.modality).toBe('CT');
  expect(firstToShow([series('SR')])?.modality).toBe('SR');
  expect(firstToShow([])).toBeUndefined();
});

describe('the address of a frame', () => {
  const single = readInstance(SERIES, image('8'));
  const film = readInstance(SERIES, image('9', { '00280008': { vr: 'IS', Value: [3] } }));

  test('of one frame is drawn by its instance', () => {
    expect(renderedUrl({ instance: single, number: 1 }, 512)).toBe(
      '/dicom-web/studies/1.2/series/1.2.3/instances/8/rendered?viewport=512,512',
    );
  });

  test('of several names the frame and the window', () => {
    expect(renderedUrl({ instance: film, number: 2 }, 512, { center: 40, width: 400 })).toBe(
      '/dicom-web/studies/1.2/series/1.2.3/instances/9/frames/2/rendered?viewport=512,512&window=40,400,linear',
    );
    expect(frameUrl({ instance: film, number: 2 })).toMatch(/instances\/9\/frames\/2$/);
  });
});

describe('an attribute sent as UN', () => {
  const unknown = (text: string) => ({ vr: 'UN', InlineBinary: btoa(text) });

  test('is read when it is known to hold numbers', () => {
    expect(known({ '00281053': unknown('2 '), '00200032': unknown('0\\0\\-121') })).toEqual({
      '00281053': { vr: 'DS', Value: [2] },
      '00200032': { vr: 'DS', Value: [0, 0, -121] },
    });
  });

  test('is left alone when it holds none, or is private', () => {
    const strange = { '00281053': unknown('steep'), '00091001': unknown('2') };
    expect(known(strange)).toEqual(strange);
  });
});

describe('the data set that is drawn', () => {
  const windowed = (width: number) =>
    readInstance(SERIES, image('8', { '00281050': { vr: 'DS', Value: [40] }, '00281051': { vr: 'DS', Value: [width] } }));

  test('loses a window of no width', async () => {
    expect(await drawable(windowed(0))).not.toHaveProperty('00281051');
    expect(await drawable(windowed(0))).not.toHaveProperty('00281050');
  });

  test('keeps a window', async () => {
    expect(await drawable(windowed(400))).toHaveProperty('00281051');
  });
});

