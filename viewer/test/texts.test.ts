import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { textReadings } from '../src/dicomweb/texts';
import { choose } from '../src/i18n';
import { textRemarks } from '../src/ui/TextMarks';

const asked: string[] = [];
let answer: () => Response;

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url);
    return answer();
  });
});

afterEach(() => vi.unstubAllGlobals());

describe('how text is read', () => {
  test('is told for each study once, without what is as it says', async () => {
    answer = () =>
      Response.json([
        {
          study: '1.2',
          text: [
            { sender: 'CT', reading: 'declared', unclear: false },
            { sender: 'US', reading: 'tcvn3', by: 'guess', unclear: false },
            { sender: 'XA', reading: 'tcvn3', by: 'rule', unclear: false },
            { sender: 'XA', reading: 'declared', unclear: true },
          ],
        },
      ]);
    const found = await textReadings(['1.2', '1.3']);
    expect([...found]).toEqual([
      [
        '1.2',
        [
          { encoding: 'tcvn3', isUnclear: false },
          { encoding: undefined, isUnclear: true },
        ],
      ],
    ]);
    expect(new URL(asked[0] ?? '', 'http://pacs').searchParams.getAll('study')).toEqual(['1.2', '1.3']);
  });

  test('is asked for in pieces, and for nothing where there is nothing to ask', async () => {
    answer = () => Response.json([]);
    await textReadings(Array.from({ length: 120 }, (_, n) => `1.${n}`));
    expect(asked).toHaveLength(3);
    await textReadings([]);
    expect(asked).toHaveLength(3);
  });

  test('is left out where the server does not tell', async () => {
    answer = () => new Response('', { status: 401 });
    expect((await textReadings(['1.2'])).size).toBe(0);
  });

  test('is said in both languages', async () => {
    vi.stubGlobal('localStorage', { setItem: () => undefined });
    vi.stubGlobal('document', { documentElement: {} });
    const readings = [
      { encoding: 'windows-1258', isUnclear: false },
      { encoding: 'windows-1258', isUnclear: true },
    ];
    await choose('en');
    expect(textRemarks(readings)).toEqual([
      'Name and text read as Windows-1258, not as their sender declares it',
      'Encoding of some text is not certain: it may be shown wrong',
    ]);
    await choose('vi');
    expect(textRemarks(readings)[0]).toContain('đọc theo bảng mã Windows-1258');
    expect(textRemarks([])).toEqual([]);
  });
});
