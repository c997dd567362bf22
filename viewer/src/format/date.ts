/** Dates and times of DICOM (DA, TM: PS3.5 §6.2) in the reader's language. */

const STYLE: Record<string, Intl.DateTimeFormatOptions> = {
  vi: { day: '2-digit', month: '2-digit', year: 'numeric', timeZone: 'UTC' },
  en: { day: '2-digit', month: 'short', year: 'numeric', timeZone: 'UTC' },
};

const LOCALE: Record<string, string> = { vi: 'vi-VN', en: 'en-GB' };

/** `20261121` as 21/11/2026 or 21 Nov 2026; anything else as it is. */
export function readableDate(da: string, language: string): string {
  const parts = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(da.trim());
  if (!parts) return da.trim();
  const date = new Date(Date.UTC(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3])));
  return new Intl.DateTimeFormat(LOCALE[language], STYLE[language]).format(date);
}

/** `153045.12` as 15:30. */
export function readableTime(tm: string): string {
  const parts = /^(\d{2}):?(\d{2})/.exec(tm.trim());
  return parts ? `${parts[1]}:${parts[2]}` : tm.trim();
}

/** A calendar day of this computer as DICOM writes it. */
export function dicomDate(day: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${day.getFullYear()}${two(day.getMonth() + 1)}${two(day.getDate())}`;
}

export function daysBefore(day: Date, days: number): Date {
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() - days);
}

/** Whole years between a birth date and a study date; undefined when either is missing. */
export function ageInYears(birth: string, at: string): number | undefined {
  if (!/^\d{8}$/.test(birth) || !/^\d{8}$/.test(at)) return undefined;
  const years = Math.floor((Number(at) - Number(birth)) / 10000);
  return years >= 0 ? years : undefined;
}
