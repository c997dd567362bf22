import type { TextReading } from '../dicomweb/texts';
import { t } from '../i18n';

/** As people write them. */
const NAMES: Record<string, string> = {
  'utf-8': 'UTF-8',
  'windows-1258': 'Windows-1258',
  tcvn3: 'TCVN3',
  vni: 'VNI',
  viscii: 'VISCII',
  'utf-8-twice': 'UTF-8 ×2',
  latin1: 'Latin-1',
};

/** What a reader should know of how a study's text was read; nothing where it says so itself. */
export function textRemarks(readings: readonly TextReading[]): string[] {
  const encodings = readings.flatMap(({ encoding }) => (encoding === undefined ? [] : [NAMES[encoding] ?? encoding]));
  const repaired = [...new Set(encodings)].map((encoding) => t('text.repaired', { encoding }));
  return readings.some(({ isUnclear }) => isUnclear) ? [...repaired, t('text.unclear')] : repaired;
}

/** A small mark beside a name; what it means is read out, and shown when it is pointed at. */
export function TextMark({ readings }: { readings: readonly TextReading[] | undefined }) {
  // UTF-8 proves itself: no name is wrong for that.
  const doubtful = (readings ?? []).filter(({ encoding, isUnclear }) => isUnclear || encoding !== 'utf-8');
  if (doubtful.length === 0) return null;
  const remarks = textRemarks(doubtful).join('\n');
  return (
    <span class="text-mark" role="img" aria-label={remarks} title={remarks} data-testid="text-mark">
      {'≈'}
    </span>
  );
}
