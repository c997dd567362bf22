/** Palettes that are written as segments (PS3.3 §C.7.9.2) as the plain tables they stand for. */

/** Entries that a descriptor announces; 0 stands for 65536 (PS3.3 §C.7.6.3.1.5). */
export function entries(descriptor: readonly number[]): number {
  return descriptor[0] || 65536;
}

/**
 * The table of a segmented palette; undefined when the segments are not well formed.
 *
 * A segment is an opcode, a length and values: 0 gives values one by one, 1 a line from the last value to a new one,
 * 2 repeats segments from a byte offset, which is given in two words, the lower one first.
 */
export function expanded(segments: Uint16Array, length: number): Uint16Array | undefined {
  const table = new Uint16Array(length);
  const filled = expandInto(table, 0, segments, 0, Infinity, false);
  return filled === length ? table : undefined;
}

/** Fills from `filled` on with `count` segments from word `at`; the answer is how far the table is filled then. */
function expandInto(
  table: Uint16Array,
  filled: number,
  words: Uint16Array,
  at: number,
  count: number,
  isRepeated: boolean,
): number {
  let done = filled;
  let word = at;
  for (let segment = 0; segment < count && word + 1 < words.length && done < table.length; segment += 1) {
    const [opcode, length] = [words[word] ?? 0, words[word + 1] ?? 0];
    if (opcode === 0) {
      table.set(words.subarray(word + 2, word + 2 + Math.min(length, table.length - done)), done);
      done += length;
      word += 2 + length;
    } else if (opcode === 1) {
      done = line(table, done, length, words[word + 2] ?? 0);
      word += 3;
    } else if (opcode === 2 && !isRepeated) {
      const offset = (words[word + 2] ?? 0) + (words[word + 3] ?? 0) * 65536;
      done = expandInto(table, done, words, offset / 2, length, true);
      word += 4;
    } else {
      return -1;
    }
  }
  return done;
}

function line(table: Uint16Array, filled: number, length: number, to: number): number {
  const from = table[filled - 1] ?? 0;
  for (let step = 1; step <= length; step += 1) {
    table[filled + step - 1] = Math.round(from + ((to - from) * step) / length);
  }
  return filled + length;
}
