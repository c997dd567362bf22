/** The studies of the page: their series, the one that is chosen, and its images. */

import { batch, signal } from '@preact/signals';
import { asFailure, isAbort, type RequestFailure } from '../dicomweb/client';
import { instancesOf, seriesOf, type Series } from '../dicomweb/series';
import { studyOf, type Study } from '../dicomweb/studies';
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

export type StudyState = ReturnType<typeof createStudyState>;

export function createStudyState(uids: readonly string[], show: (stack: Stack | undefined) => void) {
  const studies = signal<OpenStudy[] | undefined>(undefined);
  const failure = signal<RequestFailure | undefined>(undefined);
  const chosen = signal<Series | undefined>(undefined);
  const seriesFailure = signal<RequestFailure | undefined>(undefined);
  let running: AbortController | undefined;
  const closed = new AbortController();

  const load = async () => {
    failure.value = undefined;
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

  const choose = async (series: Series) => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    batch(() => {
      chosen.value = series;
      seriesFailure.value = undefined;
      show(undefined);
    });
    try {
      const instances = await instancesOf(series, mine.signal);
      if (running === mine) show(stackOf(instances));
    } catch (error) {
      if (running === mine && !isAbort(error)) seriesFailure.value = asFailure(error);
    }
  };

  const close = () => {
    closed.abort();
    running?.abort();
  };

  return { studies, failure, chosen, seriesFailure, load, choose, close };
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
