/** What the server says of itself. */

import { getText, parseJson } from './client';

export interface ServerStatus {
  /** Trial mode: nobody has to sign in. */
  open: boolean;
  version: string;
}

/** Undefined when the server does not tell; the pages work without. */
export async function serverStatus(): Promise<ServerStatus | undefined> {
  try {
    const answer = parseJson<Partial<ServerStatus>>(await getText('/api/v1/status', 'application/json'));
    return { open: answer.open === true, version: answer.version ?? '' };
  } catch {
    return undefined;
  }
}
