/** Data sets in the DICOM JSON Model (PS3.18 Annex F) and how to read one attribute of them. */

import type * as TAG from './tags';

export interface JsonPersonName {
  Alphabetic?: string;
  Ideographic?: string;
  Phonetic?: string;
}

export type JsonValue = string | number | JsonPersonName | JsonDataSet | null;

export interface JsonAttribute {
  vr: string;
  Value?: JsonValue[];
  BulkDataURI?: string;
  InlineBinary?: string;
}

/** Attributes by their tag as eight hexadecimal digits in upper case. */
export interface JsonDataSet {
  [tag: string]: JsonAttribute;
}

/** Those of overlays have sixteen groups of the same elements (PS3.5 §7.6). */
export type Tag = (typeof TAG)[keyof typeof TAG] | `60${string}`;

function first(dataSet: JsonDataSet, tag: Tag): JsonValue | undefined {
  return dataSet[tag]?.Value?.[0];
}

/** First value as text, trimmed; empty when absent. */
export function text(dataSet: JsonDataSet, tag: Tag): string {
  const value = first(dataSet, tag);
  return typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
}

export function texts(dataSet: JsonDataSet, tag: Tag): string[] {
  const values = dataSet[tag]?.Value ?? [];
  return values.filter((value): value is string => typeof value === 'string' && value.trim() !== '');
}

/** Items of a sequence. */
export function items(dataSet: JsonDataSet, tag: Tag): JsonDataSet[] {
  return (dataSet[tag]?.Value ?? []).filter((value): value is JsonDataSet => value !== null && typeof value === 'object');
}

/** All values that are numbers. */
export function numbers(dataSet: JsonDataSet, tag: Tag): number[] {
  return (dataSet[tag]?.Value ?? []).map(Number).filter(Number.isFinite);
}

/** First value as a number; IS and DS may come as strings (PS3.18 §F.2.3). */
export function number(dataSet: JsonDataSet, tag: Tag): number | undefined {
  const value = first(dataSet, tag);
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const parsed = typeof value === 'number' ? value : Number.parseFloat(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

export function personName(dataSet: JsonDataSet, tag: Tag): JsonPersonName {
  const value = first(dataSet, tag);
  if (typeof value === 'string') return { Alphabetic: value };
  return value !== null && typeof value === 'object' ? (value as JsonPersonName) : {};
}
