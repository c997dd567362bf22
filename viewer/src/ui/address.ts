/** The address of the page as state. */

import { signal } from '@preact/signals';

export interface Address {
  path: string;
  /** Study Instance UIDs of `?StudyInstanceUIDs=1.2.3,1.2.4`. */
  studies: string[];
}

/** Only what can be a UID is kept (PS3.5 §9.1), so that a link cannot reach other resources of the server. */
export function readAddress(path: string, query: string): Address {
  const named = new URLSearchParams(query).getAll('StudyInstanceUIDs').flatMap((value) => value.split(/[,\\]/));
  const uids = named.map((uid) => uid.trim()).filter((uid) => /^[0-9.]{1,64}$/.test(uid));
  return { path, studies: [...new Set(uids)] };
}

const here = () => readAddress(location.pathname, location.search);

export const address = signal<Address>(typeof location === 'undefined' ? { path: '/', studies: [] } : here());

if (typeof window !== 'undefined') {
  window.addEventListener('popstate', () => {
    address.value = here();
  });
}

export function studyAddress(studyInstanceUid: string): string {
  return `/viewer?StudyInstanceUIDs=${studyInstanceUid}`;
}

export function go(to: string): void {
  history.pushState(null, '', to);
  address.value = here();
  window.scrollTo(0, 0);
}

/** Follows a link within the page, and leaves a click meant for a new tab to the browser. */
export function followLink(event: MouseEvent, to: string): void {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(to);
}
