/** The studies of the page: their series, the one that is chosen, and its images, while more of them may arrive. */

import { batch, signal } from '@preact/signals';
import { asFailure, isAbort, type RequestFailure } from '../dicomweb/client';
import { instancesOf, seriesOf, type Series } from '../dicomweb/series';
import { studyOf, type Study } from '../dicomweb/studies';
import { textReadings, type TextReading } from '../dicomweb/texts';
import { stackOf, type Stack } from '../viewport/stack';

export interface OpenStudy {
  study: Study;
  series: Series[];
}

/** Modalities whose objects hold no image (PS3.3 §C.7.3.1.1.1). */
const WITHOUT_IMAGES = new Set(['SR', 'PR', 'KO', 'DOC', 'AU', 'REG', 'RTSTRUCT', 'RTPLAN', 'RTRECORD', 'ECG', 'PLAN', 'FID']);

/** The series that is shown first: the first that is likely to hold images. */
export function firstToShow(series: readonly Series[]): Series | undefined {
  return series.find(({ modality }) => !WITHOUT_IMAGES.has(modality)) ?? series[0];
}

/** How often a study is looked at for more images: a device may still be sending. */
const REFRESH_MS = 5000;

/** Where the images of the chosen series go. */
export interface Display {
  open: (stack: Stack | undefined) => void;
  extend: (stack: Stack) => void;
}

export type StudyState = ReturnType<typeof createStudyState>;

export function createStudyState(uids: readonly string[], display: Display) {
  const studies = signal<OpenStudy[] | undefined>(undefined);
  const failure = signal<RequestFailure | undefined>(undefined);
  /** How the text of the studies is read, where not as it says. */
  const texts = signal<ReadonlyMap<string, TextReading[]>>(new Map());
  const chosen = signal<Series | undefined>(undefined);
  const seriesFailure = signal<RequestFailure | undefined>(undefined);
  let running: AbortController | undefined;
  const closed = new AbortController();

  const load = async () => {
    failure.value = undefined;
    void learnTexts();
    try {
      const opened = await Promise.all(uids.map((uid) => openStudy(uid, closed.signal)));
      batch(() => {
        studies.value = opened;
        const first = firstToShow(opened.flatMap(({ series }) => series));
        if (first) void choose(first);
      });
    } catch (error) {
      if (!isAbort(error)) failure.value = asFailure(error);
    }
  };

  const learnTexts = async () => {
    texts.value = await textReadings(uids, closed.signal);
  };

  const choose = async (series: Series) => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    batch(() => {
      chosen.value = series;
      seriesFailure.value = undefined;
      display.open(undefined);
    });
    try {
      const instances = await instancesOf(series, mine.signal);
      if (running === mine) display.open(stackOf(instances));
    } catch (error) {
      if (running === mine && !isAbort(error)) seriesFailure.value = asFailure(error);
    }
  };

  const refresh = async () => {
    const before = studies.value;
    if (!before || document.visibilityState !== 'visible') return;
    const now = await Promise.all(
      before.map(async ({ study }) => ({ study, series: await seriesOf(study.studyInstanceUid, closed.signal) })),
    );
    if (fingerprint(now) === fingerprint(before)) return;
    studies.value = now;
    void learnTexts();
    const old = chosen.value;
    const chosenNow = now.flatMap(({ series }) => series).find((series) => isSame(series, old));
    if (!old && !chosenNow) {
      const first = firstToShow(now.flatMap(({ series }) => series));
      if (first) await choose(first);
    } else if (chosenNow && chosenNow.instanceCount !== old?.instanceCount) {
      const mine = running;
      const instances = await instancesOf(chosenNow, closed.signal);
      if (running !== mine || !isSame(chosen.value, old)) return;
      chosen.value = chosenNow;
      display.extend(stackOf(instances));
    }
  };

  /** Looks for more until the page is left; a look that fails is made up for by the next. */
  const watch = () => {
    const timer = setInterval(() => void refresh().catch(() => undefined), REFRESH_MS);
    return () => {
      clearInterval(timer);
      closed.abort();
      running?.abort();
    };
  };

  return { studies, texts, failure, chosen, seriesFailure, load, choose, watch };
}

function fingerprint(opened: readonly OpenStudy[]): string {
  return JSON.stringify(opened.map(({ series }) => series));
}

export function isSame(a: Series | undefined, b: Series | undefined): boolean {
  return a?.seriesInstanceUid === b?.seriesInstanceUid && a?.studyInstanceUid === b?.studyInstanceUid;
}

async function openStudy(uid: string, signal: AbortSignal): Promise<OpenStudy> {
  const [study, series] = await Promise.all([studyOf(uid, signal), seriesOf(uid, signal)]);
  return { study: study ?? nameless(uid), series };
}

/** A study that the search does not tell about still has its series. */
function nameless(studyInstanceUid: string): Study {
  return {
    studyInstanceUid,
    patientName: {},
    patientId: '',
    patientBirthDate: '',
    patientSex: '',
    studyDate: '',
    studyTime: '',
    studyDescription: '',
    accessionNumber: '',
    modalities: [],
    seriesCount: undefined,
    instanceCount: undefined,
  };
}
