import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createStudyState } from '../src/study/state';
import type { Stack } from '../src/viewport/stack';

/** An archive with one study: images by series. */
const archive: { series: Record<string, number>; refuses: boolean } = { series: {}, refuses: false };
const page = { visibilityState: 'visible' };

const ui = (value: string) => ({ vr: 'UI', Value: [value] });
const is = (value: number) => ({ vr: 'IS', Value: [value] });

function answer(url: string): Response {
  if (url.startsWith('/api/')) return Response.json([{ study: '1.2', text: [{ reading: 'tcvn3', unclear: false }] }]);
  if (archive.refuses) return new Response('', { status: 503 });
  const series = /series\/([\d.]+)\/metadata/.exec(url)?.[1];
  if (series) {
    const images = Array.from({ length: archive.series[series] ?? 0 }, (_, index) => ({
      '00080018': ui(`${series}.${index}`),
      '00200013': is(index),
      '00280010': is(4),
      '00280011': is(4),
      '7FE00010': { vr: 'OW', BulkDataURI: 'pixels' },
    }));
    return Response.json(images);
  }
  if (!url.includes('/series')) return Response.json([{ '0020000D': ui('1.2') }]);
  return Response.json(
    Object.entries(archive.series).map(([uid, count], index) => ({
      '0020000E': ui(uid),
      '00200011': is(index),
      '00080060': { vr: 'CS', Value: ['CT'] },
      '00201209': is(count),
    })),
  );
}

describe('an open study', () => {
  const display = { open: vi.fn<(stack: Stack | undefined) => void>(), extend: vi.fn<(stack: Stack) => void>() };
  let unwatch: () => void;

  async function opened() {
    const state = createStudyState(['1.2'], display);
    unwatch = state.watch();
    await state.load();
    await vi.advanceTimersByTimeAsync(0);
    return state;
  }

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('document', page);
    vi.stubGlobal('fetch', async (url: string) => answer(url));
    Object.assign(archive, { series: { '1.2.1': 2, '1.2.2': 3 }, refuses: false });
    display.open.mockClear();
    display.extend.mockClear();
  });

  afterEach(() => {
    unwatch();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  test('shows its first series', async () => {
    const state = await opened();
    expect(state.chosen.value?.seriesInstanceUid).toBe('1.2.1');
    expect(display.open.mock.lastCall?.[0]?.images).toHaveLength(2);
  });

  test('tells how its text is read', async () => {
    const state = await opened();
    expect(state.texts.value.get('1.2')).toEqual([{ encoding: 'tcvn3', isUnclear: false }]);
  });

  test('takes images in that arrive in the series that is read', async () => {
    await opened();
    archive.series['1.2.1'] = 5;
    await vi.advanceTimersByTimeAsync(5000);
    expect(display.extend.mock.lastCall?.[0].images).toHaveLength(5);
    expect(display.open).toHaveBeenCalledTimes(2);
  });

  test('lists a series that arrives, and leaves the image alone', async () => {
    const state = await opened();
    archive.series['1.2.3'] = 1;
    await vi.advanceTimersByTimeAsync(5000);
    expect(state.studies.value?.[0]?.series).toHaveLength(3);
    expect(display.extend).not.toHaveBeenCalled();
  });

  test('keeps what it has while the server is busy', async () => {
    const state = await opened();
    archive.refuses = true;
    await vi.advanceTimersByTimeAsync(5000);
    expect(state.studies.value?.[0]?.series).toHaveLength(2);
    expect(state.failure.value).toBeUndefined();
  });

  test('says why it cannot be opened', async () => {
    archive.refuses = true;
    const state = await opened();
    expect(state.failure.value?.kind).toBe('busy');
  });
});
