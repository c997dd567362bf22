import { describe, expect, test } from 'vitest';
import type { JsonDataSet } from '../src/dicomweb/attributes';
import { firstPart } from '../src/dicomweb/multipart';
import { readInstance } from '../src/dicomweb/series';
import { drawable } from '../src/viewport/drawable';
import { fullChrominance, repairOf, repaired, unpackedBits } from '../src/viewport/frame-bytes';
import { acceptOf } from '../src/viewport/frame-requests';
import { entries, expanded } from '../src/viewport/palette';
import { Unsupported } from '../src/viewport/unsupported';

const bytes = (text: string) => new TextEncoder().encode(text);
const ATTRIBUTES: JsonDataSet = {
  '00280010': { vr: 'US', Value: [1] },
  '00280011': { vr: 'US', Value: [4] },
  '7FE00010': { vr: 'OW', BulkDataURI: 'pixels' },
};
const instance = (more: JsonDataSet) =>
  readInstance({ studyInstanceUid: '1', seriesInstanceUid: '2' }, { ...ATTRIBUTES, ...more });

describe('an answer in one part', () => {
  const answer = bytes('--b\r\nContent-Type: application/octet-stream\r\n\r\n\u0001\r\n\u0002\r\n--b--\r\n');

  test('gives the body, line breaks in it and all', () => {
    const part = firstPart(answer);
    expect(part?.head).toBe('Content-Type: application/octet-stream');
    expect([...answer.subarray(part?.start, part?.end)]).toEqual([1, 13, 10, 2]);
  });

  test('is not taken out of bytes that are none', () => {
    expect(firstPart(bytes('\u0001\u0002\u0003'))).toBeUndefined();
    expect(firstPart(bytes('--b\r\nContent-Type: x/y\r\n\r\nno end'))).toBeUndefined();
  });
});

describe('a native frame', () => {
  test('of single bits becomes a byte a pixel, from bit 0 on', () => {
    expect([...unpackedBits(Uint8Array.of(0b00000101, 0b1), 9)]).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 1]);
  });

  test('of halved chrominance becomes a full one', () => {
    expect([...fullChrominance(Uint8Array.of(1, 2, 8, 9, 3, 4, 6, 7), 4)]).toEqual([1, 8, 9, 2, 8, 9, 3, 6, 7, 4, 6, 7]);
  });

  const packed = { '00280100': { vr: 'US', Value: [1] } };
  const repair = repairOf({ ...ATTRIBUTES, ...packed });

  test('is repaired within its part', () => {
    const head = '--b\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n';
    const answer = bytes(`${head}\u0005\r\n--b--`);
    const changed = new Uint8Array(repaired(answer.buffer, 'multipart/related; boundary=b', repair ?? ((same) => same)));
    expect(new TextDecoder().decode(changed)).toBe(`${head}\u0001\u0000\u0001\u0000\r\n--b--`);
  });

  test('that is compressed is left to the decoder', () => {
    const answer = bytes('--b\r\nContent-Type: image/jls; transfer-syntax=1.2.840.10008.1.2.4.80\r\n\r\n\u0005\r\n--b--').buffer;
    expect(repaired(answer, 'multipart/related; boundary=b', repair ?? ((same) => same))).toBe(answer);
  });

  test('of usual samples needs no repair', () => {
    expect(repairOf({ ...ATTRIBUTES, '00280100': { vr: 'US', Value: [16] } })).toBeUndefined();
  });
});

describe('a frame that browsers decode wrong', () => {
  const rgb = { '00280004': { vr: 'CS', Value: ['RGB'] } };

  test('is decoded by the server if it can: RGB as JPEG, single bits as RLE', () => {
    expect(acceptOf(rgb)).toMatch(/transfer-syntax=1\.2\.840\.10008\.1\.2\.1, .*transfer-syntax=\*;q=0\.5$/);
    expect(acceptOf({ '00280100': { vr: 'US', Value: [1] } })).toBeDefined();
  });

  test('is decoded by the server if it can: negative values of 8 bits and fewer', () => {
    const bits = (stored: number, sign: number) => ({
      '00280100': { vr: 'US', Value: [16] },
      '00280101': { vr: 'US', Value: [stored] },
      '00280103': { vr: 'US', Value: [sign] },
    });
    expect(acceptOf(bits(8, 1))).toBeDefined();
    expect(acceptOf(bits(6, 1))).toBeDefined();
    expect(acceptOf(bits(9, 1))).toBeUndefined();
    expect(acceptOf(bits(8, 0))).toBeUndefined();
  });

  test('is none when nothing was lossy, or the colours are others', () => {
    expect(acceptOf({ ...rgb, '00282110': { vr: 'CS', Value: ['00'] } })).toBeUndefined();
    expect(acceptOf({ '00280004': { vr: 'CS', Value: ['YBR_FULL_422'] } })).toBeUndefined();
  });
});

describe('a segmented palette', () => {
  test('gives values, lines and repetitions', () => {
    const segments = Uint16Array.of(0, 2, 10, 20, 1, 2, 40, 2, 2, 0, 0);
    expect([...(expanded(segments, 8) ?? [])]).toEqual([10, 20, 30, 40, 10, 20, 30, 40]);
  });

  test('that is not well formed gives nothing', () => {
    expect(expanded(Uint16Array.of(9, 1, 1), 4)).toBeUndefined();
    expect(expanded(Uint16Array.of(0, 2, 10, 20), 4)).toBeUndefined();
    expect(expanded(Uint16Array.of(2, 1, 0, 0), 4)).toBeUndefined();
  });

  test('counts 65536 entries as 0', () => {
    expect(entries([0, 0, 16])).toBe(65536);
    expect(entries([256, 0, 16])).toBe(256);
  });
});

describe('an image that would be drawn wrong', () => {
  test.each([
    { why: 'colours of 16 bits', more: { '00280002': { vr: 'US', Value: [3] }, '00280100': { vr: 'US', Value: [16] } } },
    { why: 'integers of 32 bits', more: { '00280100': { vr: 'US', Value: [32] } } },
    { why: 'no palette', more: { '00280004': { vr: 'CS', Value: ['PALETTE COLOR'] }, '00280100': { vr: 'US', Value: [8] } } },
  ])('is not drawn: $why', async ({ more }) => {
    await expect(drawable(instance(more))).rejects.toBeInstanceOf(Unsupported);
  });
});
