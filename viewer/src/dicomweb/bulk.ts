/** Bulk data that metadata refer to (PS3.18 §10.4.1.1.5). */

import { RequestFailure, failureKind } from './client';

/** Value at a BulkDataURI of our own server; one of another server is not asked for. */
export async function bulkData(uri: string): Promise<Uint8Array> {
  const url = new URL(uri, location.href);
  const path = url.pathname + url.search;
  const response = await fetch(path, { headers: { Accept: 'application/octet-stream' }, credentials: 'same-origin' });
  if (!response.ok) throw new RequestFailure(failureKind(response.status), response.status);
  const body = new Uint8Array(await response.arrayBuffer());
  const type = response.headers.get('Content-Type') ?? '';
  return type.startsWith('multipart/') ? onlyPart(body) : body;
}

/** Body of the first part: what lies between the first empty line and the closing boundary (RFC 2046 §5.1). */
export function onlyPart(body: Uint8Array): Uint8Array {
  const latin = new TextDecoder('latin1').decode(body);
  const start = latin.indexOf('\r\n\r\n') + 4;
  const boundary = latin.slice(latin.indexOf('--'), latin.indexOf('\r\n', latin.indexOf('--')));
  const end = latin.lastIndexOf(`\r\n${boundary}`);
  return start >= 4 && end >= start ? body.subarray(start, end) : body;
}
