import { describe, expect, test } from 'vitest';
import { merge, patterns, readStudy, searchUrls, type Study } from '../src/dicomweb/studies';
import { EVERYTHING, filterOf, isEverything } from '../src/worklist/filter';

const NONE = { words: '', modality: '', from: '', to: '' };

const query = (url: string) => Object.fromEntries(new URL(url, 'http://pacs').searchParams);

describe('the patterns of what was typed of an identifier', () => {
  test.each([
    { typed: '0042', are: ['0042*', '*0042'] },
    { typed: '42', are: ['42*'] },
    { typed: '  BN 0042  ', are: ['BN*0042*', '*BN*0042'] },
    { typed: 'BN004*', are: ['BN004*'] },
    { typed: '*42*', are: ['*42*'] },
    { typed: 'A?01', are: ['A?01'] },
    { typed: '1\\23', are: ['123*', '*123'] },
    { typed: 'nguyen', are: [] },
    { typed: '   ', are: [] },
  ])('of "$typed" are $are', ({ typed, are }) => {
    expect(patterns(typed)).toEqual(are);
  });
});

describe('a search', () => {
  test('without words is one request', () => {
    const urls = searchUrls(NONE, 51);
    expect(urls).toHaveLength(1);
    expect(query(urls[0] ?? '')).toMatchObject({ limit: '51', offset: '0' });
    expect(query(urls[0] ?? '')).not.toHaveProperty('PatientName');
  });

  test('asks for names, word by word, and for nothing else when no digit was typed', () => {
    const [names, ...more] = searchUrls({ ...NONE, words: 'an  Nguyễn' }, 10).map(query);
    expect(names).toMatchObject({ PatientName: 'an Nguyễn', fuzzymatching: 'true' });
    expect(more).toEqual([]);
  });

  test('leaves wild cards to whoever typed them', () => {
    const [names] = searchUrls({ ...NONE, words: 'ngu*  an' }, 10).map(query);
    expect(names).toMatchObject({ PatientName: 'ngu* an' });
  });

  test('asks for identifiers that begin or end so when there is a digit', () => {
    const [, ...identifiers] = searchUrls({ ...NONE, words: '0042' }, 10).map(query);
    expect(identifiers).toMatchObject([
      { PatientID: '0042*' },
      { AccessionNumber: '0042*' },
      { PatientID: '*0042' },
      { AccessionNumber: '*0042' },
    ]);
  });

  test('puts the filters into every request', () => {
    for (const url of searchUrls({ words: 'an', modality: 'CT', from: '20261101', to: '20261121' }, 10)) {
      expect(query(url)).toMatchObject({ ModalitiesInStudy: 'CT', StudyDate: '20261101-20261121' });
    }
  });

  test('leaves an end of the dates open', () => {
    expect(query(searchUrls({ ...NONE, from: '20261101' }, 10)[0] ?? '').StudyDate).toBe('20261101-');
    expect(query(searchUrls({ ...NONE, to: '20261101' }, 10)[0] ?? '').StudyDate).toBe('-20261101');
  });
});

describe('several answers', () => {
  const study = (uid: string, date: string): Study => ({
    ...readStudy({}),
    studyInstanceUid: uid,
    studyDate: date,
  });

  test('are merged, each study once: names in their order, then identifiers, newest first', () => {
    const names = [study('1', '20260101'), study('2', '20260301')];
    const merged = merge([names, [study('4', '20250101')], [study('2', '20260301'), study('3', '20260201')]]);
    expect(merged.map(({ studyInstanceUid }) => studyInstanceUid)).toEqual(['1', '2', '3', '4']);
  });
});

describe('the chosen period', () => {
  const today = new Date(2026, 2, 1);
  test.each([
    { period: 'any', from: '', to: '' },
    { period: 'today', from: '20260301', to: '20260301' },
    { period: 'week', from: '20260223', to: '20260301' },
    { period: 'month', from: '20260131', to: '20260301' },
  ] as const)('$period is from "$from" to "$to"', ({ period, from, to }) => {
    expect(filterOf({ ...EVERYTHING, period }, today)).toMatchObject({ from, to });
  });

  test('of a range is put in order', () => {
    const range = { ...EVERYTHING, period: 'range' as const, from: '2026-03-05', to: '2026-03-01' };
    expect(filterOf(range, today)).toMatchObject({ from: '20260301', to: '20260305' });
  });

  test('of everything filters nothing', () => {
    expect(isEverything(EVERYTHING)).toBe(true);
    expect(isEverything({ ...EVERYTHING, words: 'a' })).toBe(false);
  });
});
