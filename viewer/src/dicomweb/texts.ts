/** How the text of studies is read that is not in the character set that it names: the server's own API. */

import { getText, parseJson } from './client';

/** One way in which some text of a study is read. */
export interface TextReading {
  /** The encoding that it is read in instead of the one it names; undefined for the one it names. */
  encoding: string | undefined;
  /** Some of it may be read wrong. */
  isUnclear: boolean;
}

interface Answer {
  study?: string;
  text?: { reading?: string; unclear?: boolean }[];
}

/** Studies that one request names: their UIDs have to fit in its line. */
const AT_ONCE = 50;

/** Of the studies that have such text, by Study Instance UID; those that the server does not tell of are left out. */
export async function textReadings(studies: readonly string[], signal?: AbortSignal): Promise<Map<string, TextReading[]>> {
  const requests = [];
  for (let at = 0; at < studies.length; at += AT_ONCE) requests.push(ask(studies.slice(at, at + AT_ONCE), signal));
  return new Map((await Promise.all(requests)).flat());
}

async function ask(studies: readonly string[], signal?: AbortSignal): Promise<[string, TextReading[]][]> {
  const parameters = new URLSearchParams(studies.map((study) => ['study', study]));
  try {
    const answer = parseJson<Answer[]>(await getText(`/api/v1/text/studies?${parameters}`, 'application/json', signal));
    return answer.map(({ study, text }) => [study ?? '', readings(text ?? [])]);
  } catch {
    return []; // The pages work without.
  }
}

/** Each once, without what is read as it says. */
function readings(text: NonNullable<Answer['text']>): TextReading[] {
  const found = new Map<string, TextReading>();
  for (const { reading = 'declared', unclear = false } of text) {
    const encoding = reading === 'declared' ? undefined : reading;
    if (encoding !== undefined || unclear) found.set(`${reading} ${unclear}`, { encoding, isUnclear: unclear });
  }
  return [...found.values()];
}
