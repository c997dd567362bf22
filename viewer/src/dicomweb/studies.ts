/** Search for studies (QIDO-RS, PS3.18 §10.6). */

import { number, personName, text, texts, type JsonDataSet, type JsonPersonName } from './attributes';
import * as TAG from './tags';
import { DICOMWEB, getText, parseJson } from './client';

export interface Study {
  studyInstanceUid: string;
  patientName: JsonPersonName;
  patientId: string;
  patientBirthDate: string;
  patientSex: string;
  studyDate: string;
  studyTime: string;
  studyDescription: string;
  accessionNumber: string;
  modalities: string[];
  seriesCount: number | undefined;
  instanceCount: number | undefined;
}

export interface StudyFilter {
  /** What was typed: words of the patient's name, or the beginning or the end of the id or the accession number. */
  words: string;
  /** A modality code, or empty for all. */
  modality: string;
  /** Study dates as `YYYYMMDD`; empty leaves that end open. */
  from: string;
  to: string;
}

const INCLUDED = [
  TAG.studyDescription,
  TAG.modalitiesInStudy,
  TAG.patientBirthDate,
  TAG.patientSex,
  TAG.numberOfStudyRelatedSeries,
  TAG.numberOfStudyRelatedInstances,
];

export function readStudy(row: JsonDataSet): Study {
  return {
    studyInstanceUid: text(row, TAG.studyInstanceUid),
    patientName: personName(row, TAG.patientName),
    patientId: text(row, TAG.patientId),
    patientBirthDate: text(row, TAG.patientBirthDate),
    patientSex: text(row, TAG.patientSex),
    studyDate: text(row, TAG.studyDate),
    studyTime: text(row, TAG.studyTime),
    studyDescription: text(row, TAG.studyDescription),
    accessionNumber: text(row, TAG.accessionNumber),
    modalities: texts(row, TAG.modalitiesInStudy),
    seriesCount: number(row, TAG.numberOfStudyRelatedSeries),
    instanceCount: number(row, TAG.numberOfStudyRelatedInstances),
  };
}

/** What was typed, without what would part values (PS3.5 §6.2) or requests. */
function cleaned(words: string): string {
  return words.replaceAll('\\', '').replace(/[\s^]+/g, ' ').trim();
}

/** Shorter ends are asked for as beginnings alone: too many identifiers have them. */
const SHORTEST_END = 3;

/**
 * Wild-card patterns for what was typed of an identifier (PS3.4 §C.2.2.2.4): it begins so or ends so, which the server
 * has an index for, unless wild cards were typed too. Spaces become `*`. None where no digit was typed, since an
 * identifier holds one.
 */
export function patterns(words: string): string[] {
  const plain = cleaned(words);
  if (!/\d/.test(plain)) return [];
  const joined = plain.replace(/ \*?/g, '*');
  if (/[*?]/.test(plain)) return [joined];
  return joined.length < SHORTEST_END ? [`${joined}*`] : [`${joined}*`, `*${joined}`];
}

/** Keys for a name: its words in any order, with their wild cards, which is how the server finds names. */
function nameKeys(words: string): Record<string, string> {
  return { PatientName: cleaned(words), fuzzymatching: 'true' };
}

/**
 * Requests that together answer a filter. Keys of one request all have to match, so "name or id or accession
 * number" is one request each; identifiers hold a digit, so words without one ask for names alone.
 */
export function searchUrls(filter: StudyFilter, limit: number): string[] {
  const common = new URLSearchParams({ limit: String(limit), offset: '0', includefield: INCLUDED.join(',') });
  if (filter.modality) common.set('ModalitiesInStudy', filter.modality);
  if (filter.from || filter.to) {
    common.set('StudyDate', filter.from === filter.to ? filter.from : `${filter.from}-${filter.to}`);
  }
  if (cleaned(filter.words) === '') return [`${DICOMWEB}/studies?${common}`];
  const identifiers = patterns(filter.words).flatMap((wanted) => [{ PatientID: wanted }, { AccessionNumber: wanted }]);
  const searches = [nameKeys(filter.words), ...identifiers];
  return searches.map((keys) => `${DICOMWEB}/studies?${new URLSearchParams([...common, ...Object.entries(keys)])}`);
}

export interface StudyPage {
  studies: Study[];
  /** More studies match than were asked for. */
  hasMore: boolean;
  /** Equal for equal pages, so that an unchanged list is not drawn again. */
  fingerprint: string;
}

/** The newest `limit` studies that match; of names, first those with the marks that were typed. */
export async function searchStudies(filter: StudyFilter, limit: number, signal?: AbortSignal): Promise<StudyPage> {
  const answers = await Promise.all(
    searchUrls(filter, limit + 1).map((url) => getText(url, 'application/dicom+json', signal)),
  );
  const pages = answers.map((answer) => (answer === '' ? [] : parseJson<JsonDataSet[]>(answer).map(readStudy)));
  const studies = pages.length === 1 ? (pages[0] ?? []) : merge(pages);
  return { studies: studies.slice(0, limit), hasMore: studies.length > limit, fingerprint: [limit, ...answers].join('\n') };
}

/** Union of several answers, each study once: those of the first as they came, then the others, newest first. */
export function merge([first = [], ...others]: Study[][]): Study[] {
  const byUid = new Map<string, Study>();
  for (const study of others.flat()) byUid.set(study.studyInstanceUid, study);
  for (const { studyInstanceUid } of first) byUid.delete(studyInstanceUid);
  const moment = (study: Study) => study.studyDate + study.studyTime;
  const rest = [...byUid.values()].sort((a, b) => (moment(a) < moment(b) ? 1 : moment(a) > moment(b) ? -1 : 0));
  return [...first, ...rest];
}

/** One study by its UID; undefined when the archive does not hold it. */
export async function studyOf(studyInstanceUid: string, signal?: AbortSignal): Promise<Study | undefined> {
  const parameters = new URLSearchParams({ StudyInstanceUID: studyInstanceUid, limit: '1', includefield: INCLUDED.join(',') });
  const answer = await getText(`${DICOMWEB}/studies?${parameters}`, 'application/dicom+json', signal);
  const row = answer === '' ? undefined : parseJson<JsonDataSet[]>(answer)[0];
  return row ? readStudy(row) : undefined;
}
