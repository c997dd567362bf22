/** The images of a series in the order they are scrolled: each frame of each instance is one. */

import { frameUrl, type Frame, type Instance } from '../dicomweb/series';
import type { Key } from '../i18n';

export interface StackImage extends Frame {
  /** Name of the image for Cornerstone's WADO-RS loader. */
  imageId: string;
}

export interface Stack {
  images: StackImage[];
  /** Instances of the series that hold no pixel data. */
  others: Instance[];
}

export const EMPTY_STACK: Stack = { images: [], others: [] };

export function stackOf(instances: Instance[]): Stack {
  return {
    images: instances.flatMap(framesOf),
    others: instances.filter((instance) => instance.frames === 0),
  };
}

function framesOf(instance: Instance): StackImage[] {
  return Array.from({ length: instance.frames }, (_, index) => {
    const frame = { instance, number: index + 1 };
    return { ...frame, imageId: `wadors:${frameUrl(frame)}` };
  });
}

const KINDS: [prefix: string, kind: Key][] = [
  ['1.2.840.10008.5.1.4.1.1.88.59', 'kind.key-object'],
  ['1.2.840.10008.5.1.4.1.1.88.', 'kind.report'],
  ['1.2.840.10008.5.1.4.1.1.104.', 'kind.document'],
  ['1.2.840.10008.5.1.4.1.1.11.', 'kind.presentation'],
  ['1.2.840.10008.5.1.4.1.1.9.', 'kind.waveform'],
  ['1.2.840.10008.5.1.4.1.1.481.', 'kind.radiotherapy'],
  ['1.2.840.10008.5.1.4.1.1.66.1', 'kind.registration'],
  ['1.2.840.10008.5.1.4.1.1.66.3', 'kind.registration'],
];

/** What an instance without image is, by its SOP class (PS3.4 Annex B.5). */
export function kindOf(sopClassUid: string): Key {
  return KINDS.find(([prefix]) => sopClassUid.startsWith(prefix))?.[1] ?? 'kind.other';
}
