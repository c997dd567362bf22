/** Mouse, wheel and touch over the viewport, turned into what they mean. */

export const TOOLS = ['window', 'zoom', 'pan', 'scroll', 'length'] as const;
export type Tool = (typeof TOOLS)[number];

export interface Gestures {
  /** The tool of the left button and of one finger. */
  tool: () => Tool;
  /** A drag begins at a place of the viewport, which counts from its upper left corner. */
  begin: (tool: Tool, at: Point) => void;
  /** A drag by so many CSS pixels, to a place of the viewport. */
  drag: (tool: Tool, dx: number, dy: number, at: Point) => void;
  end: () => void;
  /** So many images on, or back. */
  scroll: (images: number) => void;
  /** Zoom about a point that counts from the viewport's centre. */
  zoom: (factor: number, x: number, y: number) => void;
  reset: () => void;
}

/** A wheel event with this much or more is one notch of a mouse; less is a trackpad's and adds up. */
const NOTCH = 50;
const TRACKPAD_STEP = 30;

/** Images to go for a wheel event, and what is left for the next. */
export function wheelSteps(delta: number, left: number): { steps: number; left: number } {
  if (Math.abs(delta) >= NOTCH) return { steps: Math.sign(delta), left: 0 };
  const sum = left + delta;
  const steps = Math.trunc(sum / TRACKPAD_STEP);
  return { steps, left: sum - steps * TRACKPAD_STEP };
}

export interface Point {
  x: number;
  y: number;
}

const BUTTON_TOOL: Record<number, Tool> = { 1: 'pan', 2: 'zoom' };

/** Listens on the viewport; the answer stops listening. */
export function listen(element: HTMLElement, gestures: Gestures): () => void {
  const off = new AbortController();
  const options = { signal: off.signal };
  const pointers = new Map<number, Point>();
  let dragging: Tool = 'window';
  let wheelLeft = 0;

  const fromCorner = (at: Point): Point => {
    const box = element.getBoundingClientRect();
    return { x: at.x - box.left, y: at.y - box.top };
  };
  const fromCentre = (at: Point): Point => {
    const { x, y } = fromCorner(at);
    return { x: x - element.clientWidth / 2, y: y - element.clientHeight / 2 };
  };

  element.addEventListener(
    'pointerdown',
    (event) => {
      if (event.target instanceof Element && event.target.closest('button, input, a')) return;
      element.setPointerCapture(event.pointerId);
      const at = { x: event.clientX, y: event.clientY };
      pointers.set(event.pointerId, at);
      dragging = (event.pointerType === 'mouse' ? BUTTON_TOOL[event.button] : undefined) ?? gestures.tool();
      if (pointers.size === 1) gestures.begin(dragging, fromCorner(at));
      else gestures.end();
    },
    options,
  );
  element.addEventListener(
    'pointermove',
    (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      if (pointers.size === 1) gestures.drag(dragging, now.x - before.x, now.y - before.y, fromCorner(now));
      else pinch(event.pointerId, before, now);
      pointers.set(event.pointerId, now);
    },
    options,
  );
  const pinch = (moved: number, before: Point, now: Point) => {
    const other = [...pointers].find(([id]) => id !== moved)?.[1];
    if (!other) return;
    const spread = (point: Point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    const middle = fromCentre({ x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    gestures.drag('pan', (now.x - before.x) / 2, (now.y - before.y) / 2, middle);
    gestures.zoom(spread(now) / spread(before), middle.x, middle.y);
  };
  for (const end of ['pointerup', 'pointercancel', 'lostpointercapture'] as const) {
    element.addEventListener(end, (event) => pointers.delete(event.pointerId) && gestures.end(), options);
  }
  element.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const delta = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * NOTCH;
      if (event.ctrlKey) {
        const at = fromCentre({ x: event.clientX, y: event.clientY });
        gestures.zoom(Math.exp(-Math.max(-100, Math.min(100, delta)) / 500), at.x, at.y);
        return;
      }
      const { steps, left } = wheelSteps(delta, wheelLeft);
      wheelLeft = left;
      if (steps !== 0) gestures.scroll(steps);
    },
    { ...options, passive: false },
  );
  element.addEventListener('dblclick', () => gestures.reset(), options);
  element.addEventListener('contextmenu', (event) => event.preventDefault(), options);
  element.addEventListener('auxclick', (event) => event.preventDefault(), options);
  return () => off.abort();
}
