import { afterEach, describe, expect, test, vi } from 'vitest';
import { number, type JsonDataSet } from '../src/dicomweb/attributes';
import { readInstance } from '../src/dicomweb/series';
import * as TAG from '../src/dicomweb/tags';
import { drawable } from '../src/viewport/drawable';
import { isWhiteLowest, readingOf, windowInsteadOf } from '../src/viewport/reading';
import { areColoursApart, coloursInOrder, read } from '../src/viewport/samples';

const us = (...values: number[]) => ({ vr: 'US', Value: values });
const ds = (value: number) => ({ vr: 'DS', Value: [value] });
const cs = (value: string) => ({ vr: 'CS', Value: [value] });
const words = (...values: number[]) => ({
  vr: 'OW',
  InlineBinary: btoa(String.fromCharCode(...values.flatMap((value) => [value & 255, value >> 8]))),
});

const GREY: JsonDataSet = {
  [TAG.photometricInterpretation]: cs('MONOCHROME2'),
  [TAG.rows]: us(1),
  [TAG.columns]: us(4),
  [TAG.bitsAllocated]: us(16),
  [TAG.bitsStored]: us(12),
  [TAG.highBit]: us(11),
  [TAG.pixelRepresentation]: us(0),
  [TAG.pixelData]: { vr: 'OW', BulkDataURI: 'pixels' },
};
const WINDOW = { [TAG.windowCenter]: ds(2048), [TAG.windowWidth]: ds(4096) };

const instance = (more: JsonDataSet) => readInstance({ studyInstanceUid: '1', seriesInstanceUid: '2' }, { ...GREY, ...more });

async function values(more: JsonDataSet, samples: ArrayLike<number>, isWindowed = false): Promise<number[]> {
  const reading = await readingOf(instance(more), 1, isWindowed);
  if (!reading) throw new Error('nothing is read');
  return [...read(samples, reading).samples];
}

/** Values as the window and the scale that Cornerstone is told of make them bright, from 0 to 255. */
async function shades(more: JsonDataSet, samples: ArrayLike<number>): Promise<number[]> {
  const told = await drawable(instance(more));
  const [slope, intercept] = [number(told, TAG.rescaleSlope) ?? 1, number(told, TAG.rescaleIntercept) ?? 0];
  const [center, width] = [number(told, TAG.windowCenter) ?? 0, number(told, TAG.windowWidth) ?? 0];
  const shade = (value: number) => ((value * slope + intercept - (center - 0.5)) / (width - 1) + 0.5) * 255;
  return (await values(more, samples)).map((value) => Math.round(Math.min(255, Math.max(0, shade(value)))));
}

afterEach(() => vi.unstubAllGlobals());

describe('stored bits', () => {
  test('are what counts of a sample', async () => {
    expect(await values(WINDOW, Uint16Array.of(0x0fff, 0xf001, 0x8000))).toEqual([0x0fff, 1, 0]);
  });

  test('may lie above the others', async () => {
    expect(await values({ ...WINDOW, [TAG.highBit]: us(15) }, Uint16Array.of(0xfff0, 0x0013))).toEqual([0x0fff, 1]);
  });

  test('have a sign at their top, whatever array a decoder gives', async () => {
    const signed = { ...WINDOW, [TAG.pixelRepresentation]: us(1) };
    expect(await values(signed, Uint16Array.of(0x0fff, 0xf800, 5))).toEqual([-1, -2048, 5]);
    expect(await values(signed, Int16Array.of(-1, -2048, 5))).toEqual([-1, -2048, 5]);
    const bytes = { ...signed, [TAG.bitsAllocated]: us(8), [TAG.bitsStored]: us(8), [TAG.highBit]: us(7) };
    expect(await values(bytes, Uint8Array.of(255, 128, 5))).toEqual([-1, -128, 5]);
  });

  test('of 8 and fewer are shades already, where nothing gives them a meaning', async () => {
    const bytes = { [TAG.bitsAllocated]: us(8), [TAG.bitsStored]: us(8), [TAG.highBit]: us(7) };
    expect(await shades(bytes, Uint8Array.of(60, 100))).toEqual([60, 100]);
    expect(await shades({ ...bytes, [TAG.bitsStored]: us(2), [TAG.highBit]: us(1) }, Uint8Array.of(0, 1, 3))).toEqual([0, 85, 255]);
  });
});

describe('a scale that falls', () => {
  const falling = { ...WINDOW, [TAG.rescaleSlope]: ds(-1), [TAG.rescaleIntercept]: ds(4095) };

  test('is one that rises, of samples turned upside down', async () => {
    expect(await values(falling, Uint16Array.of(0, 4095, 1000))).toEqual([4095, 0, 3095]);
    const told = await drawable(instance(falling));
    expect(number(told, TAG.rescaleSlope)).toBe(1);
    expect(number(told, TAG.rescaleIntercept)).toBe(0);
    expect(await shades(falling, Uint16Array.of(0, 4095))).toEqual([255, 0]);
  });

  test('of signed samples, too', async () => {
    const signed = { ...falling, [TAG.pixelRepresentation]: us(1), [TAG.rescaleSlope]: ds(-2), [TAG.rescaleIntercept]: ds(10) };
    expect(await values(signed, Int16Array.of(-2048, 2047, 0))).toEqual([2047, -2048, -1]);
    const told = await drawable(instance(signed));
    expect(-1 * (number(told, TAG.rescaleSlope) ?? 0) + (number(told, TAG.rescaleIntercept) ?? 0)).toBe(10);
  });

  test('is found in functional groups, of one frame and of several', async () => {
    const group = {
      [TAG.pixelValueTransformation]: { vr: 'SQ', Value: [{ [TAG.rescaleSlope]: ds(-1), [TAG.rescaleIntercept]: ds(0) }] },
      [TAG.frameVoiLut]: { vr: 'SQ', Value: [{ ...WINDOW, [TAG.voiLutFunction]: cs('LINEAR_EXACT') }] },
    };
    const shared = { [TAG.sharedGroups]: { vr: 'SQ', Value: [group] } };
    const one = await drawable(instance({ ...shared, [TAG.numberOfFrames]: us(1) }));
    expect([number(one, TAG.rescaleSlope), number(one, TAG.windowWidth)]).toEqual([1, 4097]);
    const several = await drawable(instance({ ...shared, [TAG.numberOfFrames]: us(2) }));
    expect(JSON.stringify(several[TAG.sharedGroups])).toContain(`"${TAG.rescaleIntercept}":{"vr":"DS","Value":[-4095]}`);
    expect(await values({ ...shared, [TAG.numberOfFrames]: us(2) }, [1])).toEqual([4094]);
  });

  test('of 0 is none', async () => {
    expect(number(await drawable(instance({ ...WINDOW, [TAG.rescaleSlope]: ds(0) })), TAG.rescaleSlope)).toBe(1);
  });
});

describe('tables', () => {
  const table = (first: number, bits: number, ...entries: number[]) => ({
    vr: 'SQ',
    Value: [{ [TAG.lutDescriptor]: us(entries.length, first, bits), [TAG.lutData]: words(...entries) }],
  });

  test('of the modality stand in place of the scale', async () => {
    const more = { ...WINDOW, [TAG.modalityLut]: table(10, 16, 500, 400, 300), [TAG.rescaleSlope]: ds(7) };
    expect(await values(more, Uint16Array.of(0, 10, 11, 12, 4000))).toEqual([500, 500, 400, 300, 300]);
    expect((await drawable(instance(more)))[TAG.rescaleSlope]).toBeUndefined();
  });

  test('of what is to be seen give shades', async () => {
    const more = { [TAG.voiLut]: table(5, 8, 255, 0, 51) };
    expect(await shades(more, Uint16Array.of(0, 5, 6, 7, 4000))).toEqual([255, 255, 0, 51, 51]);
    expect(await shades({ [TAG.voiLut]: table(0, 16, 0, 1023) }, Uint16Array.of(0, 1))).toEqual([0, 255]);
  });

  test('begin below 0 where the values do', async () => {
    const more = { [TAG.voiLut]: table(65536 - 100, 8, 0, 255), [TAG.rescaleIntercept]: ds(-100), [TAG.rescaleSlope]: ds(1) };
    expect(await shades(more, Uint16Array.of(0, 1))).toEqual([0, 255]);
    expect(windowInsteadOf(instance(more).dataSet, 1)).toEqual({ center: -99, width: 2 });
  });

  test('give way to a window: that of the data set, and that of the reader', async () => {
    const more = { [TAG.voiLut]: table(0, 8, 255, 0) };
    expect(await values({ ...more, ...WINDOW }, [7])).toEqual([7]);
    expect(await values(more, [7], true)).toEqual([7]);
  });

  test('come from the archive, where the metadata leave them out', async () => {
    vi.stubGlobal('location', { href: 'http://archive/' });
    vi.stubGlobal('fetch', async () => new Response(Uint8Array.of(9, 0, 8, 0)));
    const data = { [TAG.lutDescriptor]: us(2, 0, 16), [TAG.lutData]: { vr: 'OW', BulkDataURI: 'http://archive/table' } };
    expect(await values({ ...WINDOW, [TAG.modalityLut]: { vr: 'SQ', Value: [data] } }, [0, 1])).toEqual([9, 8]);
  });
});

describe('a window', () => {
  test('of another function is drawn by it', async () => {
    const more = { [TAG.windowCenter]: ds(100), [TAG.windowWidth]: ds(10), [TAG.voiLutFunction]: cs('SIGMOID') };
    expect(await shades(more, Uint16Array.of(100, 105, 0))).toEqual([128, 225, 0]);
    expect(await shades({ ...more, [TAG.voiLutFunction]: cs('LINEAR_EXACT') }, Uint16Array.of(95, 100, 105))).toEqual([0, 128, 255]);
  });

  test('that cannot be is none', async () => {
    const told = await drawable(instance({ ...WINDOW, [TAG.windowWidth]: ds(0) }));
    expect(told[TAG.windowWidth] ?? told[TAG.windowCenter]).toBeUndefined();
  });
});

test('padding is black in any window and no part of the range', async () => {
  const padding = { [TAG.pixelPadding]: us(4000), [TAG.pixelPaddingLimit]: us(4095) };
  expect(await shades({ ...WINDOW, ...padding }, Uint16Array.of(4095, 4000, 3999))).toEqual([0, 0, 249]);
  const white = { ...WINDOW, ...padding, [TAG.photometricInterpretation]: cs('MONOCHROME1') };
  // The renderers turn it about.
  expect(await shades(white, Uint16Array.of(4095))).toEqual([255]);
  const reading = await readingOf(instance(padding), 1, false);
  expect(reading?.isSpread).toBe(true);
  expect(read([4095, 30, 10], reading ?? expect.unreachable())).toMatchObject({ lowest: 10, highest: 30 });
});

describe('overlays', () => {
  const plane = {
    '60000010': us(1),
    '60000011': us(4),
    '60000040': cs('G'),
    '60000050': { vr: 'SS', Value: [1, 2] },
  };

  test('are white', async () => {
    const more = { ...WINDOW, ...plane, '60003000': words(0b0101) };
    expect(await shades(more, Uint16Array.of(0, 0, 0, 0))).toEqual([0, 255, 0, 255]);
  });

  test('may lie in bits that are not stored ones', async () => {
    expect(await shades({ ...WINDOW, ...plane, '60000102': us(15) }, Uint16Array.of(0x8000, 0x4000))).toEqual([255, 0]);
  });

  test('that mark regions, or are too short, are not drawn', async () => {
    expect(await shades({ ...WINDOW, ...plane, '60000040': cs('R'), '60003000': words(0xff) }, [0])).toEqual([0]);
    expect(await shades({ ...WINDOW, ...plane, '60000010': us(99), '60003000': words(0xff) }, [0])).toEqual([0]);
  });
});

test.each([
  { interpretation: 'MONOCHROME1', shape: undefined, is: true },
  { interpretation: 'MONOCHROME2', shape: undefined, is: false },
  { interpretation: 'MONOCHROME1', shape: 'IDENTITY', is: false },
  { interpretation: 'MONOCHROME2', shape: 'INVERSE', is: true },
])('the lowest value of $interpretation, $shape is white: $is', ({ interpretation, shape, is }) => {
  const shaped: JsonDataSet = shape ? { [TAG.presentationLutShape]: cs(shape) } : {};
  expect(isWhiteLowest({ [TAG.photometricInterpretation]: cs(interpretation), ...shaped })).toBe(is);
});

describe('colours of HTJ2K', () => {
  const codeStream = (mixed: number) =>
    Uint8Array.of(0xff, 0x4f, 0xff, 0x51, 0, 4, 1, 2, 0xff, 0x52, 0, 12, 0, 2, 0, 1, mixed, 5, 4, 4, 0, 1);

  test('tell whether they lie apart', () => {
    expect(areColoursApart(codeStream(0))).toBe(true);
    expect(areColoursApart(codeStream(1))).toBe(false);
    expect(areColoursApart(Uint8Array.of(0xff, 0x4f, 0))).toBe(false);
  });

  test('are put in order', () => {
    // Two lines of two pixels: the decoder has put down the lines of red, then green, then blue.
    const put = Uint8Array.of(1, 3, 11, 2, 4, 12, 13, 21, 23, 14, 22, 24);
    expect([...coloursInOrder(put, 2, 2)]).toEqual([1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24]);
  });
});
