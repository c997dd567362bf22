/** Keys of the study page. */

import type { Actions } from './actions';
import type { Preset } from './presets';

export interface Hotkeys {
  actions: Actions;
  imageCount: () => number;
  presets: () => readonly Preset[];
  series: (step: number) => void;
  help: () => void;
}

/** True when a key belongs to the control that has the focus. */
function isTaken(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input:not([type="range"]), select, textarea, dialog') !== null;
}

export function listenToKeys(hotkeys: Hotkeys): () => void {
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTaken(event.target)) return;
    const does = meaning(event.key, hotkeys);
    if (!does) return;
    event.preventDefault();
    does();
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}

/** What a key does; undefined when it does nothing. */
export function meaning(key: string, hotkeys: Hotkeys): (() => void) | undefined {
  const { actions } = hotkeys;
  const named: Record<string, () => void> = {
    ArrowDown: () => actions.step(1),
    ArrowRight: () => actions.step(1),
    ArrowUp: () => actions.step(-1),
    ArrowLeft: () => actions.step(-1),
    PageDown: () => actions.step(10),
    PageUp: () => actions.step(-10),
    Home: () => actions.step(-hotkeys.imageCount()),
    End: () => actions.step(hotkeys.imageCount()),
    '[': () => hotkeys.series(-1),
    ']': () => hotkeys.series(1),
    '+': () => actions.zoom(1.25),
    '=': () => actions.zoom(1.25),
    '-': () => actions.zoom(0.8),
    w: () => (actions.tool.value = 'window'),
    z: () => (actions.tool.value = 'zoom'),
    p: () => (actions.tool.value = 'pan'),
    s: () => (actions.tool.value = 'scroll'),
    l: () => (actions.tool.value = 'length'),
    Delete: actions.clear,
    i: actions.invert,
    r: actions.reset,
    c: actions.play,
    '0': () => actions.preset(undefined),
    '?': hotkeys.help,
  };
  const preset = hotkeys.presets()[Number(key) - 1];
  if (preset) return () => actions.preset(preset);
  return named[key.length === 1 ? key.toLowerCase() : key];
}
