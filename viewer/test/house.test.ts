import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SOURCE = join(import.meta.dirname, '../src');
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));
const sources = files.map((file) => ({ file, source: readFileSync(join(SOURCE, file), 'utf8') }));

const offenders = (pattern: RegExp, allowed: RegExp) =>
  sources.filter(({ file, source }) => !allowed.test(file) && pattern.test(source)).map(({ file }) => file);

test('only dicomweb talks HTTP', () => {
  expect(offenders(/\bfetch\(|new XMLHttpRequest|sendBeacon|new WebSocket|new EventSource/, /^dicomweb\//)).toEqual([]);
});

test('only viewport and tools touch Cornerstone', () => {
  expect(offenders(/@cornerstonejs|@kitware/, /^(viewport|tools)\//)).toEqual([]);
});

test('nothing is typed any', () => {
  expect(offenders(/\bany\b(?=[\s;,)>[\]|&]*(?:[;,)>\]=|&]|$))|as any|: any/m, /^$/)).toEqual([]);
});

test('no import goes in a circle', () => {
  const imports = new Map(sources.map(({ file, source }) => [file, importsOf(file, source)]));
  const circles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
    else for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
  };
  visit('main.tsx', []);
  expect(circles).toEqual([]);
});

/** Files of ours that a file needs when it runs; types are gone by then. */
function importsOf(file: string, source: string): string[] {
  const named = [...source.matchAll(/^import (?!type )[^'\n]*(?:\{[^}]*\} from )?'(\.[^']+)'|\bfrom '(\.[^']+)'/gm)];
  return named
    .filter((match) => !match[0].startsWith('import type') && !source.slice(0, match.index).endsWith('import type '))
    .map((match) => join(file, '..', match[1] ?? match[2] ?? ''))
    .flatMap((path) => [`${path}.ts`, `${path}.tsx`, `${path}/index.ts`].filter((candidate) => files.includes(candidate)));
}
