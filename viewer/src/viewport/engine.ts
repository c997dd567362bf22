/**
 * Cornerstone3D, started once and reached only through `Screen`. Loaded apart from the page's shell, since it is
 * fifty times its size.
 */

import {
  Enums,
  RenderingEngine,
  cache,
  getRenderingCapabilities,
  imageLoader,
  imageRetrievalPoolManager,
  init as startCore,
  setUseCPURendering,
  utilities,
  type Types,
} from '@cornerstonejs/core';
import { init as startLoader } from '@cornerstonejs/dicom-image-loader';
import type { Window } from '../dicomweb/series';
import { frameRequests } from './frame-requests';
import { describe, isReplaced, nameOf, startLoading } from './loading';
import { hasCurve, isWhiteLowest, windowInsteadOf } from './reading';
import type { StackImage } from './stack';
import type { View } from './view';

const MEBIBYTE = 1024 * 1024;

/** Decoded images kept: a third of the memory that the browser owns up to, between 256 MiB and 1 GiB. */
function cacheBytes(): number {
  const gibibytes = (navigator as { deviceMemory?: number }).deviceMemory ?? 4;
  return Math.min(1024, Math.max(256, (gibibytes * 1024) / 3)) * MEBIBYTE;
}

let engine: RenderingEngine | undefined;
let isOnCpu = false;

/** Starts Cornerstone. Without a graphics card its own CPU rendering is faster than WebGL in software, or all there is. */
export function startEngine(): RenderingEngine {
  if (engine) return engine;
  startCore();
  startLoader({ maxWebWorkers: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)), ...frameRequests });
  startLoading();
  const { webgl, softwareRasterizer } = getRenderingCapabilities();
  isOnCpu = !webgl || softwareRasterizer;
  setUseCPURendering(isOnCpu);
  cache.setMaxCacheSize(cacheBytes());
  imageRetrievalPoolManager.setMaxSimultaneousRequests(Enums.RequestType.Interaction, 6);
  imageRetrievalPoolManager.setMaxSimultaneousRequests(Enums.RequestType.Prefetch, 6);
  engine = new RenderingEngine('filmless');
  return engine;
}

export interface Place {
  x: number;
  y: number;
}

export interface Shown {
  /** The window that is applied; undefined for colour. */
  window: Window | undefined;
  bytes: number;
}

/** One viewport of the page. */
export interface Screen {
  /** Brings an image into the cache, decoded, as a view of it needs it. */
  load: (image: StackImage, isPrefetch: boolean, view: View) => Promise<Types.IImage>;
  /** Shows an image that is loaded; resolves when its pixels are on the screen. */
  show: (stack: StackImage[], index: number, view: View) => Promise<Shown>;
  /** Whether a view can be applied to what is shown; otherwise it has to be loaded and shown again. */
  fits: (view: View) => boolean;
  /** Applies a view to what is shown; the answer is the window that then holds. */
  apply: (view: View) => Window | undefined;
  /** How many images on each side of one may be held without pushing that one out. */
  radius: (bytesPerImage: number) => number;
  /** Pixel of the image at a place of the viewport, in CSS pixels from its upper left corner, and back. */
  toPixel: (place: Place) => Place | undefined;
  toCanvas: (pixel: Place) => Place | undefined;
  resize: (view: View) => void;
  close: () => void;
}

const VIEWPORT = 'stack';

export function openScreen(element: HTMLDivElement): Screen {
  const rendering = startEngine();
  rendering.enableElement({
    viewportId: VIEWPORT,
    element,
    type: Enums.ViewportType.STACK,
    defaultOptions: { background: [0, 0, 0] },
  });
  const viewport = rendering.getViewport(VIEWPORT) as Types.IStackViewport;
  let stackShown: StackImage[] | undefined;
  let imageShown: StackImage | undefined;
  let isReplacedShown = false;
  let isWindowedStack = false;
  let hadWindow = false;
  let isColor = false;
  let isInverse = false;

  function windowNow(): Window | undefined {
    const range = viewport.getProperties().voiRange;
    if (!range || isColor) return undefined;
    if (imageShown && !isReplacedShown && hasCurve(imageShown.instance)) {
      return windowInsteadOf(imageShown.instance.dataSet, imageShown.number);
    }
    const { windowCenter, windowWidth } = utilities.windowLevel.toWindowLevel(range.lower, range.upper);
    return { center: windowCenter, width: windowWidth };
  }

  function fits(view: View): boolean {
    return !imageShown || isReplaced(imageShown, view) === isReplacedShown;
  }

  function apply(view: View): Window | undefined {
    if (hadWindow && !view.window) viewport.resetProperties();
    const range = view.window
      ? utilities.windowLevel.toLowHighRange(view.window.width, view.window.center)
      : opened(viewport.getProperties().voiRange);
    hadWindow = range !== undefined;
    viewport.setProperties({
      invert: view.isInverted !== isInverse,
      ...(range && !isColor ? { voiRange: range } : {}),
    });
    place(viewport, view);
    viewport.render();
    return windowNow();
  }

  return {
    load: async (image, isPrefetch, view) => {
      const name = nameOf(image, view);
      await describe(name);
      const wanted: Parameters<typeof imageLoader.loadAndCacheImage>[1] & { useRGBA: boolean } = {
        requestType: isPrefetch ? Enums.RequestType.Prefetch : Enums.RequestType.Interaction,
        priority: isPrefetch ? 0 : -5,
        additionalDetails: { imageId: name },
        // As the stack viewport asks for it, so that the cache serves both.
        useRGBA: isOnCpu,
      };
      return imageLoader.loadAndCacheImage(name, wanted);
    },
    show: async (stack, index, view) => {
      const wanted = stack[index];
      const isWindowed = stack.some((image) => isReplaced(image, view));
      if (stackShown === stack && isWindowed === isWindowedStack) {
        await viewport.setImageIdIndex(index);
      } else {
        await viewport.setStack(stack.map((image) => nameOf(image, view)), index);
        [stackShown, isWindowedStack] = [stack, isWindowed];
        hadWindow = false;
      }
      [imageShown, isReplacedShown] = [wanted, wanted !== undefined && isReplaced(wanted, view)];
      const image = viewport.getCornerstoneImage();
      isColor = image.color;
      // The CPU renderer draws MONOCHROME1 as it draws MONOCHROME2 (PS3.3 §C.7.6.3.1.2); here both are told.
      isInverse = wanted !== undefined && !isColor && isWhiteLowest(wanted.instance.dataSet);
      const rendered = onceRendered(element);
      const window = apply(view);
      await rendered;
      return { window, bytes: image.sizeInBytes };
    },
    fits,
    apply,
    radius: (bytesPerImage) => Math.max(1, Math.floor((cacheBytes() * 0.4) / Math.max(1, bytesPerImage))),
    toPixel: ({ x, y }) => {
      const index = viewport.getImageData()?.imageData.worldToIndex?.(viewport.canvasToWorld([x, y]));
      return index && { x: index[0], y: index[1] };
    },
    toCanvas: ({ x, y }) => {
      const world = viewport.getImageData()?.imageData.indexToWorld?.([x, y, 0]) as Types.Point3 | undefined;
      const place = world && viewport.worldToCanvas(world);
      return place && { x: place[0], y: place[1] };
    },
    resize: (view) => {
      rendering.resize(true, false);
      if (stackShown && fits(view)) apply(view);
    },
    close: () => rendering.disableElement(VIEWPORT),
  };
}

/** Lays the image out from scratch, so that the view alone decides, on either renderer. */
function place(viewport: Types.IStackViewport, { zoom, panX, panY }: View): void {
  viewport.resetCamera();
  if (zoom !== 1) viewport.setZoom(viewport.getZoom() * zoom);
  if (panX === 0 && panY === 0) return;
  const [from, to] = [viewport.canvasToWorld([0, 0]), viewport.canvasToWorld([panX, panY])];
  const { focalPoint, position } = viewport.getCamera();
  const moved = (point: Types.Point3 | undefined) =>
    point?.map((value, axis) => value - ((to[axis] ?? 0) - (from[axis] ?? 0))) as Types.Point3 | undefined;
  const [movedFocus, movedPosition] = [moved(focalPoint), moved(position)];
  viewport.setCamera({
    ...(movedFocus ? { focalPoint: movedFocus } : {}),
    ...(movedPosition ? { position: movedPosition } : {}),
  });
}

/** A window for an image of one value, which has none of its own; undefined for any other image. */
function opened(range: Types.VOIRange | undefined): Types.VOIRange | undefined {
  return range && range.upper <= range.lower ? { lower: range.lower, upper: range.lower + 1 } : undefined;
}

function onceRendered(element: HTMLDivElement): Promise<void> {
  return new Promise((resolve) => {
    element.addEventListener(Enums.Events.IMAGE_RENDERED, () => resolve(), { once: true });
  });
}
