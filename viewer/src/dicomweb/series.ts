/** Series of a study and the instances of a series. */

import { number, text, type JsonDataSet } from './attributes';
import * as TAG from './tags';
import { DICOMWEB, getJson } from './client';
import { known } from './unknown';

export interface Series {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  modality: string;
  seriesNumber: number | undefined;
  seriesDescription: string;
  bodyPartExamined: string;
  instanceCount: number | undefined;
}

/** One instance, with the whole data set that the server keeps for it but bulk data. */
export interface Instance {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  instanceNumber: number | undefined;
  /** 0 when the instance has no pixel data. */
  frames: number;
  dataSet: JsonDataSet;
}

const path = (...uids: string[]) =>
  `${DICOMWEB}/${['studies', 'series', 'instances'].flatMap((part, level) => (uids[level] ? [part, uids[level]] : [])).join('/')}`;

export async function seriesOf(studyInstanceUid: string, signal?: AbortSignal): Promise<Series[]> {
  const included = [TAG.seriesDescription, TAG.seriesNumber, TAG.bodyPartExamined, TAG.numberOfSeriesRelatedInstances];
  const rows = await getJson<JsonDataSet[]>(`${path(studyInstanceUid)}/series?includefield=${included.join(',')}`, signal);
  return (rows ?? []).map((row) => readSeries(studyInstanceUid, row)).sort(bySeriesNumber);
}

function readSeries(studyInstanceUid: string, row: JsonDataSet): Series {
  return {
    studyInstanceUid,
    seriesInstanceUid: text(row, TAG.seriesInstanceUid),
    modality: text(row, TAG.modality),
    seriesNumber: number(row, TAG.seriesNumber),
    seriesDescription: text(row, TAG.seriesDescription),
    bodyPartExamined: text(row, TAG.bodyPartExamined),
    instanceCount: number(row, TAG.numberOfSeriesRelatedInstances),
  };
}

function bySeriesNumber(a: Series, b: Series): number {
  const order = (a.seriesNumber ?? Infinity) - (b.seriesNumber ?? Infinity);
  return Number.isNaN(order) || order === 0 ? a.seriesInstanceUid.localeCompare(b.seriesInstanceUid) : order;
}

/** Instances of a series with their metadata, by instance number. */
export async function instancesOf(series: Series, signal?: AbortSignal): Promise<Instance[]> {
  const url = `${path(series.studyInstanceUid, series.seriesInstanceUid)}/metadata`;
  const rows = await getJson<JsonDataSet[]>(url, signal);
  return (rows ?? []).map((row) => readInstance(series, known(row))).sort(byInstanceNumber);
}

export function readInstance(of: Pick<Series, 'studyInstanceUid' | 'seriesInstanceUid'>, dataSet: JsonDataSet): Instance {
  return {
    studyInstanceUid: of.studyInstanceUid,
    seriesInstanceUid: of.seriesInstanceUid,
    sopInstanceUid: text(dataSet, TAG.sopInstanceUid),
    sopClassUid: text(dataSet, TAG.sopClassUid),
    instanceNumber: number(dataSet, TAG.instanceNumber),
    frames: hasPixelData(dataSet) ? Math.max(1, number(dataSet, TAG.numberOfFrames) ?? 1) : 0,
    dataSet,
  };
}

function hasPixelData(dataSet: JsonDataSet): boolean {
  const kept = [TAG.pixelData, TAG.floatPixelData, TAG.doubleFloatPixelData].some((tag) => dataSet[tag] !== undefined);
  return kept && (number(dataSet, TAG.rows) ?? 0) > 0 && (number(dataSet, TAG.columns) ?? 0) > 0;
}

function byInstanceNumber(a: Instance, b: Instance): number {
  const order = (a.instanceNumber ?? Infinity) - (b.instanceNumber ?? Infinity);
  return Number.isNaN(order) || order === 0 ? a.sopInstanceUid.localeCompare(b.sopInstanceUid) : order;
}

export function thumbnailUrl(series: Series): string {
  return `${path(series.studyInstanceUid, series.seriesInstanceUid)}/thumbnail`;
}

export interface Window {
  center: number;
  width: number;
}

/** A frame by its instance; frames count from 1. */
export interface Frame {
  instance: Instance;
  number: number;
}

function instancePath({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Instance): string {
  return path(studyInstanceUid, seriesInstanceUid, sopInstanceUid);
}

/**
 * The frame as the server draws it, at most `edge` pixels wide and high (PS3.18 §8.3.5.1): a preview, not for diagnosis.
 */
export function renderedUrl(frame: Frame, edge: number, window?: Window): string {
  const of = frame.instance.frames > 1 ? `${instancePath(frame.instance)}/frames/${frame.number}` : instancePath(frame.instance);
  const chosen = window ? `&window=${window.center},${window.width},linear` : '';
  return `${of}/rendered?viewport=${edge},${edge}${chosen}`;
}

/** Where the stored pixels of the frame are. */
export function frameUrl(frame: Frame): string {
  return `${instancePath(frame.instance)}/frames/${frame.number}`;
}
