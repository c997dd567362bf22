/** What the list is narrowed to, as chosen on the page. */

import type { StudyFilter } from '../dicomweb/studies';
import { daysBefore, dicomDate } from '../format/date';

export const PERIODS = ['any', 'today', 'week', 'month', 'range'] as const;
export type Period = (typeof PERIODS)[number];

/** Modalities that a hospital commonly owns (PS3.3 §C.7.3.1.1.1); the search field finds the rest. */
export const MODALITIES = ['CR', 'CT', 'DX', 'ES', 'IO', 'MG', 'MR', 'NM', 'OT', 'PT', 'PX', 'RF', 'SC', 'SR', 'US', 'XA', 'XC'];

export interface Choice {
  words: string;
  modality: string;
  period: Period;
  /** Ends of `range` as a date input gives them, `YYYY-MM-DD` or empty. */
  from: string;
  to: string;
}

export const EVERYTHING: Choice = { words: '', modality: '', period: 'any', from: '', to: '' };

export function isEverything(choice: Choice): boolean {
  return choice.words.trim() === '' && choice.modality === '' && choice.period === 'any';
}

/** The filter that a choice means today. Seven days are today and the six before it. */
export function filterOf(choice: Choice, today: Date): StudyFilter {
  return { words: choice.words, modality: choice.modality, ...dates(choice, today) };
}

function dates(choice: Choice, today: Date): { from: string; to: string } {
  const until = dicomDate(today);
  switch (choice.period) {
    case 'any':
      return { from: '', to: '' };
    case 'today':
      return { from: until, to: until };
    case 'week':
      return { from: dicomDate(daysBefore(today, 6)), to: until };
    case 'month':
      return { from: dicomDate(daysBefore(today, 29)), to: until };
    case 'range':
      return inOrder(choice.from.replaceAll('-', ''), choice.to.replaceAll('-', ''));
  }
}

function inOrder(from: string, to: string): { from: string; to: string } {
  return from !== '' && to !== '' && to < from ? { from: to, to: from } : { from, to };
}
