import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

import { leavesOf } from '#service/config/leaves.ts';
import { SCHEMAS } from '#service/config/load.ts';
import { STOP_GRACE_MS } from '#service/lifecycle.ts';

import { ENVIRONMENT } from '../../../deploy/image/environment.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const UNIT = fileURLToPath(new URL('../../../deploy/systemd/shoal@.service', import.meta.url));
const ANALYZE = '/usr/bin/systemd-analyze';

const text = await readFile(UNIT, 'utf8');

/** The unit's settings; none is given twice. */
const settings = new Map(
  text
    .split('\n')
    .filter((line) => /^\w+=/u.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
);

test('a part finds in its environment what it finds in the image', () => {
  const expected = Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  expect(settings.get('Environment')?.split(' ')).toEqual(expected);
});

test('systemd waits longer for a part that stops than that takes', () => {
  expect(Number(settings.get('TimeoutStopSec')) * 1000).toBeGreaterThan(STOP_GRACE_MS);
});

test.each(['agent', 'origin'] as const)(
  "the %s's data directory is where its knob says by default",
  (part) => {
    const leaf = leavesOf(SCHEMAS[part]).find(({ knob }) => knob === 'store.path');
    const directory = settings.get('StateDirectory')?.replace('%i', part);
    expect(`/var/lib/${directory}`).toBe(leaf?.schema.default);
  },
);

test.runIf(existsSync(ANALYZE))('systemd has nothing to say against the unit', async () => {
  await using dir = await temporaryDirectory('systemd');
  // What is to be installed there is not, in a test.
  await writeFile(dir.join('shoal@agent.service'), text.replace('/usr/local/bin/shoal', process.execPath));
  const { stdout, stderr } = await promisify(execFile)(ANALYZE, ['verify', dir.join('shoal@agent.service')]);
  expect(stdout + stderr).toBe('');
});
