import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { JsonDataSet } from '../src/dicomweb/attributes';
import { RequestFailure } from '../src/dicomweb/client';
import { readInstance } from '../src/dicomweb/series';
import { stackOf, type Stack, type StackImage } from '../src/viewport/stack';
import { createStage, type Stage } from '../src/viewport/stage';
import { Unsupported } from '../src/viewport/unsupported';

/** A screen whose images come when the test says so. */
const screen = vi.hoisted(() => ({
  asked: [] as { image: { imageId: string }; isPrefetch: boolean; come: () => void; fail: (why: unknown) => void }[],
  shown: [] as string[],
  fits: true,
  isBroken: false,
}));

vi.mock('../src/viewport/engine', () => ({
  openScreen: () => ({
    load: (image: { imageId: string }, isPrefetch: boolean) =>
      new Promise<void>((come, fail) => screen.asked.push({ image, isPrefetch, come, fail })),
    show: async (images: { imageId: string }[], index: number) => {
      if (screen.isBroken) await new Promise(() => undefined);
      screen.shown.push(images[index]?.imageId ?? '');
      return { window: { center: 40, width: 400 }, bytes: 1 };
    },
    fits: () => screen.fits,
    apply: () => undefined,
    radius: () => 0,
    resize: () => undefined,
    close: () => undefined,
  }),
}));

function series(...uids: number[]): Stack {
  const dataSet = (uid: number): JsonDataSet => ({
    '00080018': { vr: 'UI', Value: [`1.${uid}`] },
    '00280010': { vr: 'US', Value: [4] },
    '00280011': { vr: 'US', Value: [4] },
    '7FE00010': { vr: 'OW', BulkDataURI: 'pixels' },
  });
  return stackOf(uids.map((uid) => readInstance({ studyInstanceUid: '1', seriesInstanceUid: '2' }, dataSet(uid))));
}

const asked = (stack: Stack, index: number) => {
  const found = screen.asked.find(({ image, isPrefetch }) => !isPrefetch && image.imageId === stack.images[index]?.imageId);
  if (!found) throw new Error(`image ${index} was not asked for`);
  return found;
};

const settled = () => vi.advanceTimersByTimeAsync(0);

describe('the stage', () => {
  let stage: Stage;

  beforeEach(async () => {
    vi.useFakeTimers();
    vi.stubGlobal('ResizeObserver', class { observe() {} disconnect() {} });
    vi.stubGlobal('XMLHttpRequest', class {});
    screen.asked.length = 0;
    screen.shown.length = 0;
    screen.fits = true;
    screen.isBroken = false;
    stage = createStage();
    stage.attach({} as HTMLDivElement);
    await vi.dynamicImportSettled();
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  /** The image at `index` is seen as it is stored. */
  async function see(stack: Stack, index: number): Promise<void> {
    stage.seek(index);
    asked(stack, index).come();
    await settled();
    expect(stage.seen.value).toEqual({ index, quality: 'diagnostic' });
  }

  test('shows a preview first and the image itself next', async () => {
    const stack = series(1, 2);
    stage.open(stack);
    expect(stage.state.value).toBe('loading');
    stage.previewLoaded(stage.preview.value as StackImage);
    expect(stage.state.value).toBe('preview');
    asked(stack, 0).come();
    await settled();
    expect(stage.state.value).toBe('diagnostic');
    expect(stage.preview.value).toBeUndefined();
    expect(stage.window.value).toEqual({ center: 40, width: 400 });
  });

  test('says what is seen, not what is wanted', async () => {
    const stack = series(1, 2);
    stage.open(stack);
    await see(stack, 0);
    stage.seek(1);
    expect(stage.wanted.value).toBe(1);
    expect(stage.seen.value?.index).toBe(0);
    await vi.advanceTimersByTimeAsync(200);
    stage.previewLoaded(stage.preview.value as StackImage);
    expect(stage.seen.value).toEqual({ index: 1, quality: 'preview' });
  });

  test('never shows an image that comes when another is wanted', async () => {
    const stack = series(1, 2, 3);
    stage.open(stack);
    await see(stack, 0);
    stage.seek(1);
    stage.seek(2);
    asked(stack, 2).come();
    await settled();
    asked(stack, 1).come();
    await settled();
    expect(stage.seen.value?.index).toBe(2);
    expect(screen.shown.at(-1)).toBe(stack.images[2]?.imageId);
  });

  test('asks for a few images at a time, and then for the one that is wanted', async () => {
    const stack = series(1, 2, 3, 4, 5, 6, 7, 8);
    stage.open(stack);
    for (let index = 1; index < 8; index += 1) stage.seek(index);
    expect(screen.asked).toHaveLength(3);
    asked(stack, 0).come();
    await settled();
    expect(screen.asked.at(-1)?.image.imageId).toBe(stack.images[7]?.imageId);
    expect(screen.asked).toHaveLength(4);
  });

  test.each([
    { why: new RequestFailure('not-found', 404), problem: 'not-found' },
    { why: new Unsupported('48 bits'), problem: 'unsupported' },
    { why: new Error('bad marker'), problem: 'decode' },
  ])('says that an image cannot be shown: $problem', async ({ why, problem }) => {
    const stack = series(1, 2);
    stage.open(stack);
    asked(stack, 0).fail(why);
    await settled();
    expect(stage.state.value).toBe('error');
    expect(stage.problem.value).toBe(problem);
    expect(stage.seen.value).toBeUndefined();
    await see(stack, 1);
    expect(stage.problem.value).toBeUndefined();
  });

  test('gives an image up that does not come', async () => {
    stage.open(series(1));
    await vi.advanceTimersByTimeAsync(121_000);
    expect(stage.problem.value).toBe('network');
  });

  test('brings the image again for a view that what is shown does not fit', async () => {
    const stack = series(1);
    stage.open(stack);
    await see(stack, 0);
    const { length } = screen.asked;
    stage.change({ ...stage.view.value, zoom: 2 });
    expect(screen.asked).toHaveLength(length);
    screen.fits = false;
    stage.change({ ...stage.view.value, window: { center: 1, width: 2 } });
    expect(screen.asked).toHaveLength(length + 1);
    expect(stage.seen.value?.quality).toBe('diagnostic');
  });

  test('gives an image up that is not drawn', async () => {
    const stack = series(1);
    screen.isBroken = true;
    stage.open(stack);
    stage.previewLoaded(stage.preview.value as StackImage);
    asked(stack, 0).come();
    await vi.advanceTimersByTimeAsync(31_000);
    expect(stage.problem.value).toBe('decode');
    expect(stage.preview.value).toBeUndefined();
  });

  test('says that a series holds no image', () => {
    stage.open(series());
    expect(stage.state.value).toBe('no-image');
  });

  test('keeps the image that is looked at when more arrive', async () => {
    stage.open(series(2, 4));
    await see(stage.stack.value, 1);
    const more = series(1, 2, 3, 4, 5);
    stage.extend(more);
    expect(stage.seen.value?.index).toBe(3);
    expect(stage.wanted.value).toBe(3);
    expect(stage.stack.value.images).toHaveLength(5);
    expect(stage.loaded.value.has(3)).toBe(true);
  });
});
