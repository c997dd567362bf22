/** Bulk data that metadata refer to (PS3.18 §10.4.1.1.5). */

import { RequestFailure, failureKind } from './client';
import { firstPart } from './multipart';

/** Value at a BulkDataURI of our own server; one of another server is not asked for. */
export async function bulkData(uri: string): Promise<Uint8Array> {
  const { pathname, search } = new URL(uri, location.href);
  const response = await fetch(pathname + search, {
    headers: { Accept: 'application/octet-stream' },
    credentials: 'same-origin',
  });
  if (!response.ok) throw new RequestFailure(failureKind(response.status), response.status);
  const body = new Uint8Array(await response.arrayBuffer());
  const part = response.headers.get('Content-Type')?.startsWith('multipart/') ? firstPart(body) : undefined;
  return part ? body.subarray(part.start, part.end) : body;
}
