/** What the buttons, keys and gestures do to the viewport. */

import { signal, type Signal } from '@preact/signals';
import { number } from '../dicomweb/attributes';
import * as TAG from '../dicomweb/tags';
import type { Stage } from '../viewport/stage';
import { INITIAL_VIEW, panned, windowed, zoomedAbout } from '../viewport/view';
import { createLengths, type Lengths } from '../measurements/lengths';
import { listen, type Point, type Tool } from './gestures';
import type { Preset } from './presets';

export interface Actions {
  tool: Signal<Tool>;
  isPlaying: Signal<boolean>;
  step: (images: number) => void;
  zoom: (factor: number) => void;
  invert: () => void;
  reset: () => void;
  preset: (preset: Preset | undefined) => void;
  play: () => void;
  stop: () => void;
  lengths: Lengths;
  /** Takes the lengths of the image that is seen away. */
  clear: () => void;
  listen: (element: HTMLElement) => () => void;
}

/** A finger scrolls and a mouse sets the window, until another tool is chosen. */
function usualTool(): Tool {
  return typeof matchMedia === 'function' && matchMedia('(pointer: coarse)').matches ? 'scroll' : 'window';
}

const FRAMES_PER_SECOND = 10;

export function createActions(stage: Stage): Actions {
  const tool = signal<Tool>(usualTool());
  const isPlaying = signal(false);
  let clock: ReturnType<typeof setInterval> | undefined;
  let scrollLeft = 0;

  const step = (images: number) => stage.seek(stage.wanted.value + images);

  const lengths = createLengths();
  const seenImage = () => stage.stack.value.images[stage.seen.value?.index ?? -1];

  const begin = (by: Tool, at: Point) => {
    const [image, pixel] = [seenImage(), stage.toPixel(at)];
    if (by === 'length' && image && pixel) lengths.begin(image, pixel);
  };

  const drag = (by: Tool, dx: number, dy: number, at: Point, height: number) => {
    const view = stage.view.value;
    switch (by) {
      case 'window': {
        const window = view.window ?? stage.window.value;
        if (window) stage.change({ ...view, window: windowed(window, dx, dy) });
        return;
      }
      case 'zoom':
        stage.change(zoomedAbout(view, Math.exp(-dy / 200)));
        return;
      case 'pan':
        stage.change(panned(view, dx, dy));
        return;
      case 'length': {
        const pixel = stage.toPixel(at);
        if (pixel) lengths.extend(pixel);
        return;
      }
      case 'scroll': {
        // The whole height is the whole series, but an image is never closer than three pixels to the next.
        const perImage = Math.max(3, Math.min(24, height / Math.max(1, stage.stack.value.images.length)));
        scrollLeft += dy / perImage;
        const images = Math.trunc(scrollLeft);
        scrollLeft -= images;
        if (images !== 0) step(images);
      }
    }
  };

  const stop = () => {
    clearInterval(clock);
    isPlaying.value = false;
  };

  const play = () => {
    if (isPlaying.value) return stop();
    isPlaying.value = true;
    clock = setInterval(() => {
      const { images } = stage.stack.value;
      // An image that is late holds the film up instead of being left out.
      if (stage.seen.value?.index !== stage.wanted.value) return;
      stage.seek((stage.wanted.value + 1) % Math.max(1, images.length));
    }, 1000 / frameRate(stage));
  };

  return {
    tool,
    isPlaying,
    step,
    zoom: (factor) => stage.change(zoomedAbout(stage.view.value, factor)),
    invert: () => stage.change({ ...stage.view.value, isInverted: !stage.view.value.isInverted }),
    reset: () => stage.change(INITIAL_VIEW),
    preset: (preset) => stage.change({ ...stage.view.value, window: preset?.window }),
    play,
    stop,
    lengths,
    clear: () => {
      const image = seenImage();
      if (image) lengths.clear(image);
    },
    listen: (element) =>
      listen(element, {
        tool: () => tool.value,
        begin,
        drag: (by, dx, dy, at) => drag(by, dx, dy, at, element.clientHeight),
        end: lengths.end,
        scroll: step,
        zoom: (factor, x, y) => stage.change(zoomedAbout(stage.view.value, factor, x, y)),
        reset: () => stage.change(INITIAL_VIEW),
      }),
  };
}

/** Frames per second that the instance asks for (PS3.3 §C.7.6.5), else a usual one. */
function frameRate(stage: Stage): number {
  const dataSet = stage.stack.value.images[0]?.instance.dataSet;
  if (!dataSet) return FRAMES_PER_SECOND;
  const milliseconds = number(dataSet, TAG.frameTime);
  const rate =
    number(dataSet, TAG.recommendedDisplayFrameRate) ??
    number(dataSet, TAG.cineRate) ??
    (milliseconds ? 1000 / milliseconds : undefined);
  return Math.min(60, Math.max(1, rate ?? FRAMES_PER_SECOND));
}
