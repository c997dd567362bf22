/** Answers of one part in multipart/related (PS3.18 §8.6.1.2, RFC 2046 §5.1). */

export interface Part {
  /** Header fields of the part, as they are written. */
  head: string;
  /** Where its body lies in the answer. */
  start: number;
  end: number;
}

/** Head of a part and closing boundary are shorter than this. */
const MARGIN = 4096;

/** The first part of an answer of one part; undefined when the bytes are not multipart. */
export function firstPart(answer: Uint8Array): Part | undefined {
  const latin = new TextDecoder('latin1');
  const opening = latin.decode(answer.subarray(0, MARGIN));
  const boundary = /^(?:\r\n)?(--[^\r\n]+)\r\n/.exec(opening);
  const headEnd = opening.indexOf('\r\n\r\n');
  if (!boundary?.[1] || headEnd < 0) return undefined;
  const tail = Math.max(headEnd + 4, answer.length - MARGIN);
  const closing = latin.decode(answer.subarray(tail)).lastIndexOf(`\r\n${boundary[1]}`);
  if (closing < 0) return undefined;
  return { head: opening.slice(boundary[0].length, headEnd), start: headEnd + 4, end: tail + closing };
}

/** The answer with another body in its part. */
export function withBody(answer: Uint8Array, part: Part, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const changed = new Uint8Array(part.start + body.length + (answer.length - part.end));
  changed.set(answer.subarray(0, part.start));
  changed.set(body, part.start);
  changed.set(answer.subarray(part.end), part.start + body.length);
  return changed;
}
