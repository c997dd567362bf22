/**
 * One viewport as state: which image is wanted, which is seen and in what quality.
 *
 * What is seen never claims to be another image: `seen` changes only when the pixels do, so that the numbers drawn
 * over the image belong to it even while the next one is on its way.
 */

import { batch, computed, signal, type ReadonlySignal, type Signal } from '@preact/signals';
import { RequestFailure, failureKind, type FailureKind } from '../dicomweb/client';
import type { Window } from '../dicomweb/series';
import type { Place, Screen } from './engine';
import { outward, prefetch, type Prefetch } from './prefetch';
import { EMPTY_STACK, type Stack, type StackImage } from './stack';
import { Unsupported } from './unsupported';
import { INITIAL_VIEW, type View } from './view';

export type Problem = 'decode' | 'unsupported' | 'engine' | FailureKind;
export type Quality = 'preview' | 'diagnostic';
/** `loading`: nothing is seen yet; `no-image`: the series holds no pixel data. */
export type StageState = 'loading' | 'no-image' | 'error' | Quality;

export interface Stage {
  stack: ReadonlySignal<Stack>;
  wanted: ReadonlySignal<number>;
  seen: ReadonlySignal<{ index: number; quality: Quality } | undefined>;
  state: ReadonlySignal<StageState>;
  problem: ReadonlySignal<Problem | undefined>;
  /** The image whose preview is to be drawn over the canvas. */
  preview: ReadonlySignal<StackImage | undefined>;
  view: ReadonlySignal<View>;
  window: ReadonlySignal<Window | undefined>;
  loaded: ReadonlySignal<ReadonlySet<number>>;
  /** Changes whenever pixels may lie elsewhere in the viewport than before. */
  drawn: ReadonlySignal<number>;
  attach: (element: HTMLDivElement) => () => void;
  open: (stack: Stack | undefined) => void;
  /** The series has more images than before: they join the stack, and the one that is looked at stays. */
  extend: (stack: Stack) => void;
  seek: (index: number) => void;
  change: (view: View) => void;
  previewLoaded: (image: StackImage) => void;
  /** Pixel of the image that is seen at a place of the viewport, and back; undefined while there is none. */
  toPixel: (place: Place) => Place | undefined;
  toCanvas: (pixel: Place) => Place | undefined;
  retry: () => void;
}

/** A preview is not asked for when the image itself comes within this time. */
const PREVIEW_AFTER_MS = 120;
/** Two of the six connections that HTTP/1.1 has are left to the image that is wanted and its preview. */
const PARALLEL = 4;
const MOST_UNDER_WAY = 3;
/** An image that takes longer is not coming. */
const LOAD_LIMIT_MS = 120_000;
/** One that is not drawn by then has broken the renderer, which says so to nobody. */
const SHOW_LIMIT_MS = 30_000;

class StackStage implements Stage {
  readonly stack = signal<Stack>(EMPTY_STACK);
  readonly wanted = signal(0);
  readonly seen: Signal<{ index: number; quality: Quality } | undefined> = signal(undefined);
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  readonly preview: Signal<StackImage | undefined> = signal(undefined);
  readonly view = signal<View>(INITIAL_VIEW);
  readonly window: Signal<Window | undefined> = signal(undefined);
  readonly loaded = signal<ReadonlySet<number>>(new Set());
  readonly drawn = signal(0);
  readonly isOpen = signal(false);
  readonly state = computed<StageState>(() => {
    if (this.problem.value) return 'error';
    if (this.isOpen.value && this.stack.value.images.length === 0) return 'no-image';
    return this.seen.value?.quality ?? 'loading';
  });

  private screen: Screen | undefined;
  private latest = 0;
  private underWay = 0;
  private isWaiting = false;
  private running: Prefetch | undefined;
  private previewTimer: ReturnType<typeof setTimeout> | undefined;

  attach = (element: HTMLDivElement): (() => void) => {
    let isGone = false;
    const resized = new ResizeObserver(() => {
      this.screen?.resize(this.view.value);
      this.drawn.value += 1;
    });
    import('./engine')
      .then(({ openScreen }) => {
        if (isGone) return;
        this.screen = openScreen(element);
        resized.observe(element);
        this.launch();
      })
      .catch((error: unknown) => {
        console.error(error);
        this.problem.value = 'engine';
      });
    return () => {
      isGone = true;
      this.stop();
      resized.disconnect();
      this.screen?.close();
      this.screen = undefined;
    };
  };

  /** Shows a series from its first image; undefined while it is not known yet. */
  open = (stack: Stack | undefined): void => {
    this.stop();
    batch(() => {
      this.isOpen.value = stack !== undefined;
      this.stack.value = stack ?? EMPTY_STACK;
      this.seen.value = undefined;
      this.preview.value = undefined;
      this.view.value = INITIAL_VIEW;
      this.window.value = undefined;
      this.loaded.value = new Set();
      this.wanted.value = 0;
      this.problem.value = undefined;
    });
    if (!stack || stack.images.length === 0) return;
    this.previewSoon(0);
    this.launch();
  };

  extend = (stack: Stack): void => {
    const before = this.stack.value.images;
    if (before.length === 0) return this.open(stack);
    const places = new Map(stack.images.map(({ imageId }, index) => [imageId, index]));
    const moved = (index: number) => places.get(before[index]?.imageId ?? '') ?? -1;
    const { seen, wanted, loaded } = this;
    batch(() => {
      this.stop();
      this.stack.value = stack;
      wanted.value = Math.max(0, moved(wanted.value));
      if (seen.value) seen.value = { ...seen.value, index: moved(seen.value.index) };
      loaded.value = new Set([...loaded.value].map(moved).filter((index) => index >= 0));
    });
    if (stack.images.length > 0) this.launch();
    return undefined;
  };

  seek = (index: number): void => {
    const { images } = this.stack.value;
    if (images.length === 0) return;
    const to = Math.max(0, Math.min(images.length - 1, index));
    if (to === this.wanted.value && !this.problem.value) return;
    this.stop();
    batch(() => {
      this.wanted.value = to;
      if (this.problem.value) this.seen.value = undefined;
      this.problem.value = undefined;
    });
    this.previewSoon(to);
    this.launch();
  };

  retry = (): void => this.seek(this.wanted.value);

  change = (view: View): void => {
    this.view.value = view;
    if (this.seen.value?.quality !== 'diagnostic' || !this.screen) return;
    if (!this.screen.fits(view)) return this.launch();
    this.window.value = this.screen.apply(view);
    this.drawn.value += 1;
  };

  toPixel = (place: Place): Place | undefined =>
    this.seen.value?.quality === 'diagnostic' ? this.screen?.toPixel(place) : undefined;

  toCanvas = (pixel: Place): Place | undefined => this.screen?.toCanvas(pixel);

  previewLoaded = (image: StackImage): void => {
    if (this.preview.value !== image || image !== this.stack.value.images[this.wanted.value]) return;
    this.seen.value = { index: this.wanted.value, quality: 'preview' };
  };

  private previewSoon(index: number): void {
    const ask = () => {
      this.preview.value = this.stack.value.images[index];
    };
    if (this.seen.value === undefined) ask();
    else this.previewTimer = setTimeout(ask, PREVIEW_AFTER_MS);
  }

  /** Brings the image that is wanted now; images that were wanted in passing do not queue up before it. */
  private launch(): void {
    if (!this.screen) return;
    if (this.underWay >= MOST_UNDER_WAY) this.isWaiting = true;
    else void this.bring(this.wanted.value, this.screen, ++this.latest);
  }

  private async load(image: StackImage, screen: Screen): Promise<void> {
    this.underWay += 1;
    try {
      await within(LOAD_LIMIT_MS, screen.load(image, false, this.view.value), new RequestFailure('network', 0));
    } finally {
      this.underWay -= 1;
      if (this.isWaiting) {
        this.isWaiting = false;
        this.launch();
      }
    }
  }

  private async bring(index: number, screen: Screen, ticket: number): Promise<void> {
    const { images } = this.stack.value;
    const image = images[index];
    if (!image) return;
    try {
      await this.load(image, screen);
      if (ticket !== this.latest) return;
      const shown = await within(SHOW_LIMIT_MS, screen.show(images, index, this.view.value), new Error('image is not drawn'));
      if (ticket !== this.latest) return;
      clearTimeout(this.previewTimer);
      batch(() => {
        this.seen.value = { index, quality: 'diagnostic' };
        this.preview.value = undefined;
        this.window.value = shown.window;
        this.drawn.value += 1;
        this.markLoaded(index);
      });
      this.prefetchAround(index, shown.bytes, screen);
    } catch (error) {
      if (ticket === this.latest) this.fail(error);
    }
  }

  private fail(error: unknown): void {
    clearTimeout(this.previewTimer);
    batch(() => {
      this.seen.value = undefined;
      this.preview.value = undefined;
      this.problem.value = problemOf(error);
    });
  }

  private prefetchAround(index: number, bytes: number, screen: Screen): void {
    const { images } = this.stack.value;
    const missing = function* (loaded: ReadonlySet<number>) {
      for (const neighbour of outward(index, images.length, screen.radius(bytes))) {
        if (!loaded.has(neighbour)) yield neighbour;
      }
    };
    this.running = prefetch(missing(this.loaded.value), PARALLEL, async (neighbour) => {
      const image = images[neighbour];
      if (!image) return;
      await screen.load(image, true, this.view.value);
      if (this.stack.value.images === images) this.markLoaded(neighbour);
    });
  }

  private markLoaded(index: number): void {
    this.loaded.value = new Set(this.loaded.value).add(index);
  }

  /** Gives up what is under way for the image that was wanted before. */
  private stop(): void {
    this.latest += 1;
    this.running?.stop();
    this.running = undefined;
    clearTimeout(this.previewTimer);
  }
}

export function createStage(): Stage {
  return new StackStage();
}

/** The outcome of a wait, or that failure once the time is over. */
function within<T>(milliseconds: number, waited: Promise<T>, failure: Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(failure), milliseconds);
    waited.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** The loader rejects with the request itself when the server refused, and with an error when decoding failed. */
function problemOf(error: unknown): Problem {
  if (error instanceof RequestFailure) return error.kind;
  if (error instanceof Unsupported) return 'unsupported';
  const request = error instanceof XMLHttpRequest ? error : (error as { request?: unknown } | undefined)?.request;
  if (!(request instanceof XMLHttpRequest)) return 'decode';
  if (request.status === 0) return 'network';
  // A form of the pixels that the server does not have (406).
  const kind = failureKind(request.status);
  return kind === 'refused' ? 'unsupported' : kind;
}
