import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { initialLanguage } from '../src/i18n';
import { en } from '../src/i18n/en';
import { vi, type Dictionary } from '../src/i18n/vi';

const SOURCE = join(import.meta.dirname, '../src');
const components = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.tsx'));

/** Words a reader would see that do not come from a dictionary: text between tags and in attributes that are read out. */
export function hardCoded(source: string): string[] {
  const word = /\p{L}{2}/u;
  const attributes = /\s(?:title|alt|placeholder|label|aria-label|aria-description|aria-valuetext)=(?:"([^"]*)"|\{\s*['"`]([^'"`]*)['"`]\s*\})/g;
  const between = /(?:<[A-Za-z][\w.-]*(?:\s[^<>]*)?>|<\/[\w.-]*>|\/>|\})[^\S\n]*\n?[^\S\n]*([^<>{}()=;:'"`|&?]+?)[^\S\n]*\n?[^\S\n]*(?=<\/?[A-Za-z>]|\{)/g;
  const found = [...source.matchAll(attributes)].map((match) => match[1] ?? match[2] ?? '');
  const markup = [...source.matchAll(/return \(\n([\s\S]*?)\n\s*\);/g)].map((match) => match[1] ?? '');
  for (const block of markup) found.push(...[...block.matchAll(between)].map((match) => match[1] ?? ''));
  return found.filter((text) => word.test(text) && !isCode(text) && !isKey(text));
}

/** A key of the dictionaries, or a template that builds one. */
function isKey(text: string): boolean {
  const built = text.indexOf('${');
  return text in vi || (built > 0 && Object.keys(vi).some((key) => key.startsWith(text.slice(0, built))));
}

/** What stands between braces and is a condition or a callback, not text. */
function isCode(text: string): boolean {
  return /^\s*(?:&&|=>|\.|,|\?|:)/.test(text);
}

describe('the dictionaries', () => {
  test('have the same keys', () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(vi).sort());
  });

  test('leave nothing empty', () => {
    for (const [key, text] of [...Object.entries(vi), ...Object.entries(en)]) expect(text.trim(), key).not.toBe('');
  });

  test('name the same values in both languages', () => {
    const named = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
    for (const key of Object.keys(vi) as (keyof Dictionary)[]) expect(named(en[key]), key).toEqual(named(vi[key]));
  });

  test('hold no key that nothing uses', () => {
    const sources = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.tsx?$/.test(file) && !file.startsWith('i18n'))
      .map((file) => readFileSync(join(SOURCE, file), 'utf8'))
      .join('\n');
    const built = [...sources.matchAll(/`([a-z.-]+\.)\$\{/g)].map((match) => match[1] ?? '');
    const isUsed = (key: string) => sources.includes(`'${key}'`) || sources.includes(`"${key}"`) || built.some((prefix) => key.startsWith(prefix));
    expect(Object.keys(vi).filter((key) => !isUsed(key.replace(/\.one$/, '')))).toEqual([]);
  });
});

describe('the components', () => {
  test.each(components)('%s takes every word from the dictionaries', (file) => {
    expect(hardCoded(readFileSync(join(SOURCE, file), 'utf8'))).toEqual([]);
  });

  test('would be caught with a word of their own', () => {
    expect(hardCoded('return (\n <p>Hello there</p>\n );')).toEqual(['Hello there']);
    expect(hardCoded('return (\n <p>\n  Xin chào\n </p>\n );')).toEqual(['Xin chào']);
    expect(hardCoded('return (\n <p>{n} images</p>\n );')).toEqual(['images']);
    expect(hardCoded('<img alt="A chest" />')).toEqual(['A chest']);
    expect(hardCoded("<img title={'A chest'} />")).toEqual(['A chest']);
  });
});

describe('the first language', () => {
  test.each([
    { kept: 'en', wished: ['vi-VN'], is: 'en', why: 'what was chosen before wins' },
    { kept: null, wished: ['en-US', 'vi'], is: 'en', why: 'then what the browser wishes' },
    { kept: null, wished: ['fr-FR', 'vi'], is: 'vi', why: 'the first wish that can be met' },
    { kept: 'de', wished: ['fr'], is: 'vi', why: 'Vietnamese when there is none' },
  ])('is $is: $why', ({ kept, wished, is }) => {
    expect(initialLanguage(kept, wished)).toBe(is);
  });
});
