/** The language of the page: chosen once, kept in this browser, read by every component through `t`. */

import { batch, signal } from '@preact/signals';
import type { Dictionary } from './vi';

export const LANGUAGES = { vi: 'Tiếng Việt', en: 'English' } as const;
export type Language = keyof typeof LANGUAGES;
export type Key = keyof Dictionary;

/** Loaded when chosen: a reader needs one of them. */
const DICTIONARIES: Record<Language, () => Promise<Dictionary>> = {
  vi: async () => (await import('./vi')).vi,
  en: async () => (await import('./en')).en,
};
const KEPT_AS = 'filmless.language';

function isLanguage(value: string | null | undefined): value is Language {
  return value === 'vi' || value === 'en';
}

/** What was chosen before, else the browser's wish, else Vietnamese. */
export function initialLanguage(kept: string | null, wished: readonly string[]): Language {
  if (isLanguage(kept)) return kept;
  const known = wished.map((tag) => tag.slice(0, 2).toLowerCase()).find(isLanguage);
  return known ?? 'vi';
}

function keptLanguage(): string | null {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null; // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

export const language = signal<Language>('vi');
const dictionary = signal<Partial<Dictionary>>({});

/** Brings the texts of a language and turns the page over to it. */
async function use(chosen: Language): Promise<void> {
  const texts = await DICTIONARIES[chosen]();
  batch(() => {
    language.value = chosen;
    dictionary.value = texts;
  });
  // For screen readers, hyphenation and the choice of fonts.
  document.documentElement.lang = chosen;
}

export function useInitialLanguage(): Promise<void> {
  return use(initialLanguage(keptLanguage(), navigator.languages));
}

export async function choose(chosen: Language): Promise<void> {
  try {
    localStorage.setItem(KEPT_AS, chosen);
  } catch {
    // See keptLanguage.
  }
  await use(chosen);
}

/** The text of `key` in the page's language, with `{name}`s filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text = dictionary.value[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

type Counted = { [K in Key]: `${K}.one` extends Key ? K : never }[Key];

/** The text of a number of things: `key` with `.one` appended for a single one. */
export function count(key: Counted, n: number): string {
  return t(n === 1 ? `${key}.one` : key, { n });
}
