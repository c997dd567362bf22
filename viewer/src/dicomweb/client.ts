/** HTTP as DICOMweb needs it: one JSON request, one kind of failure. */

export const DICOMWEB = '/dicom-web';

/** Why a request brought nothing: what the reader can do differs by kind. */
export type FailureKind = 'sign-in' | 'forbidden' | 'not-found' | 'busy' | 'refused' | 'server' | 'network';

export class RequestFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly status: number,
  ) {
    super(`request failed: ${kind} (${status})`);
    this.name = 'RequestFailure';
  }
}

export function failureKind(status: number): FailureKind {
  if (status === 401) return 'sign-in';
  if (status === 403) return 'forbidden';
  if (status === 404 || status === 410) return 'not-found';
  if (status === 429 || status === 503) return 'busy';
  return status >= 400 && status < 500 ? 'refused' : 'server';
}

/** True when the request was given up by us, which is nobody's failure. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

export function asFailure(error: unknown): RequestFailure {
  return error instanceof RequestFailure ? error : new RequestFailure('network', 0);
}

/**
 * Body of a GET as text; empty for 204 No Content, which a search without matches may answer.
 *
 * `no-cache` lets the browser revalidate by ETag, so that an unchanged list costs a 304.
 */
export async function getText(url: string, accept: string, signal?: AbortSignal): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, {
      headers: { Accept: accept },
      cache: 'no-cache',
      credentials: 'same-origin',
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    throw isAbort(error) ? error : new RequestFailure('network', 0);
  }
  if (!response.ok) {
    throw new RequestFailure(failureKind(response.status), response.status);
  }
  return response.status === 204 ? '' : response.text();
}

/** JSON of a GET; the caller names the shape it expects and reads it defensively. */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T | undefined> {
  const text = await getText(url, 'application/dicom+json', signal);
  return text === '' ? undefined : parseJson<T>(text);
}

export function parseJson<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new RequestFailure('server', 200);
  }
}
