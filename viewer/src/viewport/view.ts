/** How the image lies in the viewport and how its values become grey; the same for every image of a stack. */

import type { Window } from '../dicomweb/series';

export interface View {
  /** 1 fits the image into the viewport. */
  zoom: number;
  /** Where the image's centre lies from the viewport's centre, in CSS pixels, right and down. */
  panX: number;
  panY: number;
  /** Undefined leaves each image its own window (PS3.3 §C.11.2). */
  window: Window | undefined;
  isInverted: boolean;
}

export const INITIAL_VIEW: View = { zoom: 1, panX: 0, panY: 0, window: undefined, isInverted: false };

const ZOOM_LEAST = 0.1;
const ZOOM_MOST = 40;

/** Zooms about a point that stays in place; the point counts from the viewport's centre. */
export function zoomedAbout(view: View, factor: number, x = 0, y = 0): View {
  const zoom = Math.min(ZOOM_MOST, Math.max(ZOOM_LEAST, view.zoom * factor));
  const grown = zoom / view.zoom;
  return { ...view, zoom, panX: x - (x - view.panX) * grown, panY: y - (y - view.panY) * grown };
}

export function panned(view: View, dx: number, dy: number): View {
  return { ...view, panX: view.panX + dx, panY: view.panY + dy };
}

/** A drag to the right widens the window, a drag down raises its centre, faster the wider the window is. */
export function windowed(window: Window, dx: number, dy: number): Window {
  const perPixel = Math.max(window.width, 1) / 400;
  const width = Math.max(window.width <= 2 ? 0.01 : 1, window.width + dx * perPixel);
  return { center: window.center + dy * perPixel, width };
}

/** Whole numbers for grey values, decimals for narrow windows such as those of SUV. */
export function readableWindow(window: Window): { width: string; center: string } {
  const digits = window.width < 20 ? 2 : 0;
  return { width: window.width.toFixed(digits), center: window.center.toFixed(digits) };
}
