import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { leavesOf } from '#service/config/leaves.ts';
import { SCHEMAS } from '#service/config/load.ts';
import { writeReference } from '#service/config/reference.ts';

test('docs/configuration.md is what the schemas say (node service/config/reference.ts writes it)', async () => {
  const page = await readFile(new URL('../../../../docs/configuration.md', import.meta.url), 'utf8');
  expect(page).toBe(writeReference());
});

test('every knob of every part has a description and a name of its own in the environment', () => {
  for (const schema of Object.values(SCHEMAS)) {
    const leaves = leavesOf(schema);
    expect(leaves.filter((leaf) => leaf.schema.description === undefined)).toEqual([]);
    expect(new Set(leaves.map((leaf) => leaf.env)).size).toBe(leaves.length);
  }
});
