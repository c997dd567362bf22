import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

type List = typeof import('../src/worklist/list');

/** A server whose answers the test gives. */
const server = { asked: [] as { url: string; signal: AbortSignal }[], answer: () => new Response('[]') };
const page = { visibilityState: 'visible', addEventListener: () => undefined, removeEventListener: () => undefined };

const studies = (...uids: string[]) =>
  new Response(JSON.stringify(uids.map((uid) => ({ '0020000D': { vr: 'UI', Value: [uid] } }))));

describe('the study list', () => {
  let list: List;
  let unwatch: () => void;

  beforeEach(async () => {
    vi.useFakeTimers();
    vi.resetModules();
    vi.stubGlobal('document', page);
    vi.stubGlobal('fetch', async (url: string, { signal = new AbortController().signal }: { signal?: AbortSignal }) => {
      server.asked.push({ url, signal });
      await Promise.resolve();
      if (signal.aborted) throw new DOMException('given up', 'AbortError');
      return server.answer();
    });
    server.asked.length = 0;
    server.answer = () => studies('1.1', '1.2');
    page.visibilityState = 'visible';
    list = await import('../src/worklist/list');
    unwatch = list.watch();
    await vi.advanceTimersByTimeAsync(0);
  });

  afterEach(() => {
    unwatch();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const uids = () => list.studies.value?.map(({ studyInstanceUid }) => studyInstanceUid);

  test('shows a study within two seconds of its arrival', async () => {
    expect(uids()).toEqual(['1.1', '1.2']);
    server.answer = () => studies('1.3', '1.1', '1.2');
    await vi.advanceTimersByTimeAsync(2000);
    expect(uids()).toEqual(['1.3', '1.1', '1.2']);
  });

  test('is not drawn anew when nothing has changed', async () => {
    const before = list.studies.value;
    await vi.advanceTimersByTimeAsync(2000);
    expect(server.asked).toHaveLength(2);
    expect(list.studies.value).toBe(before);
  });

  test('asks once for what was typed, after a pause', async () => {
    for (const words of ['n', 'ng', 'ngu']) list.narrow({ words });
    await vi.advanceTimersByTimeAsync(199);
    expect(server.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.asked.slice(1).map(({ url }) => new URL(url, 'http://pacs').searchParams.get('PatientName'))).toEqual(['ngu']);
  });

  test('gives the request up that was under way', async () => {
    void list.refresh();
    list.narrow({ modality: 'CT' });
    expect(server.asked.at(-1)?.signal.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(server.asked.at(-1)?.url).toContain('ModalitiesInStudy=CT');
    expect(list.failure.value).toBeUndefined();
  });

  test('says that a sign-in is needed, and keeps trying', async () => {
    server.answer = () => new Response('', { status: 401 });
    await vi.advanceTimersByTimeAsync(2000);
    expect(list.failure.value?.kind).toBe('sign-in');
    server.answer = () => studies('1.1');
    await vi.advanceTimersByTimeAsync(2000);
    expect(list.failure.value).toBeUndefined();
    expect(uids()).toEqual(['1.1']);
  });

  test('learns how doubtful names were read, and only of those', async () => {
    const named = (uid: string, name: string) => ({
      '0020000D': { vr: 'UI', Value: [uid] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: name }] },
    });
    const text = [{ study: '1.1', text: [{ reading: 'vni', unclear: false }] }];
    server.answer = () =>
      Response.json(server.asked.at(-1)?.url.startsWith('/api/') ? text : [named('1.1', 'ĐẶNG'), named('1.2', 'DANG')]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(server.asked.at(-1)?.url).toBe('/api/v1/text/studies?study=1.1');
    expect(list.texts.value.get('1.1')).toEqual([{ encoding: 'vni', isUnclear: false }]);
    const asked = server.asked.length;
    await vi.advanceTimersByTimeAsync(2000);
    expect(server.asked).toHaveLength(asked + 1);
  });

  test('takes no content for no studies', async () => {
    server.answer = () => new Response(null, { status: 204 });
    await vi.advanceTimersByTimeAsync(2000);
    expect(uids()).toEqual([]);
  });

  test('asks for nothing while nobody looks', async () => {
    page.visibilityState = 'hidden';
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.asked.length).toBeLessThanOrEqual(2);
  });

  test('asks for more than it shows, to know whether there are more', async () => {
    server.answer = () => studies(...Array.from({ length: 51 }, (_, index) => `1.${index}`));
    await vi.advanceTimersByTimeAsync(2000);
    expect(list.studies.value).toHaveLength(50);
    expect(list.hasMore.value).toBe(true);
    list.showMore();
    await vi.advanceTimersByTimeAsync(0);
    expect(list.studies.value).toHaveLength(51);
    expect(list.hasMore.value).toBe(false);
  });
});
