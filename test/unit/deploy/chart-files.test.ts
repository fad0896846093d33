import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

import manifest from '../../../package.json' with { type: 'json' };

import { generateFiles } from '../../../deploy/chart/generate.ts';

const PROJECT = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(PROJECT, path), 'utf8');

test.each(Object.entries(generateFiles()))(
  '%s says what the sources say, else: node deploy/chart/generate.ts',
  (path, text) => {
    expect(read(path)).toBe(text);
  },
);

test("the chart has the project's version, and installs the image of that version", () => {
  const chart: { version: string; appVersion: string } = parse(read('charts/shoal/Chart.yaml'));
  expect(chart.version).toBe(manifest.version);
  expect(chart.appVersion).toBe(manifest.version);
});

test('every value is explained', () => {
  for (const row of read('docs/values.md')
    .split('\n')
    .filter((line) => line.startsWith('| `')))
    expect(row).toMatch(/\| \S.*\S +\| \S.{8,} \|$/);
});
