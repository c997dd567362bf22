/** Windows that are commonly chosen, by modality. */

import type { Window } from '../dicomweb/series';
import type { Key } from '../i18n';

export interface Preset {
  name: Key & `preset.${string}`;
  window: Window;
}

/** In Hounsfield units. */
const CT: readonly Preset[] = [
  { name: 'preset.abdomen', window: { center: 40, width: 400 } },
  { name: 'preset.lung', window: { center: -600, width: 1500 } },
  { name: 'preset.bone', window: { center: 450, width: 1800 } },
  { name: 'preset.brain', window: { center: 40, width: 80 } },
  { name: 'preset.mediastinum', window: { center: 50, width: 350 } },
];

/** In the order of the keys 1, 2, …; only CT has values that mean the same on every device. */
export function presetsOf(modality: string): readonly Preset[] {
  return modality === 'CT' ? CT : [];
}

/** The preset that a window is, if it is one. */
export function presetOf(presets: readonly Preset[], window: Window | undefined): Preset | undefined {
  return presets.find((preset) => preset.window.center === window?.center && preset.window.width === window.width);
}
