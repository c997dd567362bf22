/** How an image comes into Cornerstone: described, asked for in a form that browsers decode right, and read. */

import { registerImageLoader, utilities, type Types } from '@cornerstonejs/core';
import { wadors } from '@cornerstonejs/dicom-image-loader';
import { utilities as metadata } from '@cornerstonejs/metadata';
import { drawable } from './drawable';
import { expectFrame } from './frame-requests';
import { hasCurve, readingOf } from './reading';
import type { Reading, Values } from './samples';
import type { StackImage } from './stack';
import type { View } from './view';

interface Named {
  image: StackImage;
  isWindowed: boolean;
}

/** Images by the names that Cornerstone asks for. */
const named = new Map<string, Named>();
const described = new Map<string, Promise<void>>();

/**
 * The name of an image for Cornerstone: it is another one where a window of the reader's replaces a curve of the data
 * set's, since the pixels are others then.
 */
export function nameOf(image: StackImage, view: View): string {
  const isWindowed = isReplaced(image, view);
  const name = isWindowed ? `${image.imageId}#windowed` : image.imageId;
  named.set(name, { image, isWindowed });
  return name;
}

/** Whether the reader's window takes the place of a curve. */
export function isReplaced(image: StackImage, view: View): boolean {
  return view.window !== undefined && hasCurve(image.instance);
}

/** Tells Cornerstone of the instance that an image is of, once. */
export function describe(name: string): Promise<void> {
  const of = named.get(name);
  if (!of) return Promise.reject(new Error(`no image is called ${name}`));
  const key = `${of.image.instance.sopInstanceUid} ${of.isWindowed}`;
  const known = described.get(key) ?? tell(name, of);
  described.set(key, known);
  known.catch(() => described.delete(key));
  return known;
}

/** The metadata go in by the typed providers: the older ones lose patient and SUV. */
async function tell(name: string, { image, isWindowed }: Named): Promise<void> {
  metadata.addDicomWebInstance(name, await drawable(image.instance, isWindowed));
}

type Options = Parameters<typeof wadors.loadImage>[1];

/** Puts itself before the loader of frames, whoever asks for them. */
export function startLoading(): void {
  registerImageLoader('wadors', (name, options) => ({ promise: load(name, options as Options) }));
}

async function load(name: string, options: Options): Promise<Types.IImage> {
  const of = named.get(name);
  await describe(name);
  if (!of) throw new Error(`no image is called ${name}`);
  expectFrame(of.image, name);
  const reading = await readingOf(of.image.instance, of.image.number, of.isWindowed);
  // The options go to the decoder's worker, which reads the samples by them (see vite.config).
  const wanted: Options & { reading: Reading | undefined } = { ...options, reading };
  const image = (await wadors.loadImage(name, wanted).promise) as unknown as Types.IImage;
  return reading?.isSpread ? spread(image, reading) : image;
}

/** All values of the frame but for its padding, where they are in the unit that the scale gives. */
function spread(image: Types.IImage, { scale }: Reading): Types.IImage {
  const { modality } = (image.preScale?.scalingParameters ?? {}) as { modality?: string };
  const { lowest, highest } = (image.imageFrame ?? {}) as Partial<Values>;
  if (lowest === undefined || highest === undefined || lowest > highest) return image;
  if (modality === 'PT' || modality === 'RTDOSE') return image;
  const [low, high] = [lowest, highest].map((value) => value * scale.slope + scale.intercept) as [number, number];
  const { windowCenter, windowWidth } = utilities.windowLevel.toWindowLevel(low, high);
  return Object.assign(image, { windowCenter, windowWidth });
}
