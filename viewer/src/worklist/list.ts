/** The study list as state: kept while the page lives, so that coming back from a study finds it as it was. */

import { batch, signal } from '@preact/signals';
import { asFailure, isAbort, type RequestFailure } from '../dicomweb/client';
import { searchStudies, type Study } from '../dicomweb/studies';
import { textReadings, type TextReading } from '../dicomweb/texts';
import { EVERYTHING, filterOf, type Choice } from './filter';

const PAGE = 50;
/** How long to wait after a key press before asking the server. */
const TYPING_PAUSE_MS = 200;
/** A study that was pushed is seen within this time. A long list asks less often. */
const REFRESH_MS = 2000;
const REFRESH_LONG_MS = 10000;

export const choice = signal<Choice>(EVERYTHING);
export const studies = signal<Study[] | undefined>(undefined);
/** How the text is read of studies whose names may be wrong. */
export const texts = signal<ReadonlyMap<string, TextReading[]>>(new Map());
export const hasMore = signal(false);
export const isBusy = signal(false);
export const failure = signal<RequestFailure | undefined>(undefined);
/** The row that the arrow keys are at. */
export const active = signal(0);

let limit = PAGE;
let shown = '';
let running: AbortController | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Asks for what is chosen now; a request under way is given up. */
export async function refresh(): Promise<void> {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  clearTimeout(timer);
  try {
    const page = await searchStudies(filterOf(choice.value, new Date()), limit, mine.signal);
    if (running !== mine) return;
    batch(() => {
      failure.value = undefined;
      isBusy.value = false;
      if (page.fingerprint === shown && studies.value) return;
      shown = page.fingerprint;
      studies.value = page.studies;
      hasMore.value = page.hasMore;
      void learnTexts(page.studies, page.fingerprint);
    });
  } catch (error) {
    if (isAbort(error) || running !== mine) return;
    batch(() => {
      isBusy.value = false;
      failure.value = asFailure(error);
    });
  }
  running = undefined;
  scheduleRefresh();
}

/** A name of plain letters reads the same in every encoding. */
async function learnTexts(rows: Study[], fingerprint: string): Promise<void> {
  const doubtful = rows.filter(({ patientName }) => /[^ -~]/.test(JSON.stringify(patientName)));
  const found = await textReadings(doubtful.map(({ studyInstanceUid }) => studyInstanceUid));
  if (fingerprint === shown) texts.value = found;
}

function scheduleRefresh(): void {
  clearTimeout(timer);
  if (!isWatched || document.visibilityState !== 'visible') return;
  timer = setTimeout(() => void refresh(), limit > 2 * PAGE ? REFRESH_LONG_MS : REFRESH_MS);
}

let isWatched = false;

/** Keeps the list fresh while it is on the screen; the answer stops that. */
export function watch(): () => void {
  const onVisibility = () => {
    if (document.visibilityState === 'visible') void refresh();
    else clearTimeout(timer);
  };
  isWatched = true;
  document.addEventListener('visibilitychange', onVisibility);
  void refresh();
  return () => {
    isWatched = false;
    running?.abort();
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', onVisibility);
  };
}

/** Changes the choice; typed words wait for a pause. */
export function narrow(change: Partial<Choice>): void {
  batch(() => {
    choice.value = { ...choice.value, ...change };
    active.value = 0;
    isBusy.value = true;
  });
  limit = PAGE;
  running?.abort();
  running = undefined;
  clearTimeout(timer);
  timer = setTimeout(() => void refresh(), 'words' in change ? TYPING_PAUSE_MS : 0);
}

export function showMore(): void {
  limit += PAGE;
  isBusy.value = true;
  void refresh();
}
