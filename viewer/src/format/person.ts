import type { JsonPersonName } from '../dicomweb/attributes';

/** Components of one group, family name first as they are stored (PS3.5 §6.2.1.1), joined by spaces. */
function joined(group: string | undefined): string {
  return (group ?? '')
    .split('^')
    .map((component) => component.trim())
    .filter((component) => component !== '')
    .join(' ');
}

/** A name to read; the ideographic form follows in parentheses. Empty when there is none. */
export function readableName(name: JsonPersonName): string {
  const alphabetic = joined(name.Alphabetic);
  const ideographic = joined(name.Ideographic);
  if (alphabetic === '') return ideographic || joined(name.Phonetic);
  return ideographic === '' ? alphabetic : `${alphabetic} (${ideographic})`;
}
