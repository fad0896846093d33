import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { PartsLog } from '../../../demo/cluster.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('what the parts log goes to the file that was named, and its end is remembered', async () => {
  await using dir = await temporaryDirectory('parts-log');
  const log = await PartsLog.open(dir.join('parts.log'));
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}\n`);
  for (const line of lines) log.write(line);
  await log[Symbol.asyncDispose]();
  expect(await readFile(dir.join('parts.log'), 'utf8')).toBe(lines.join(''));
  expect(log.tail).toBe(lines.slice(40).join(''));
});

test('a file that cannot be written is told of before anything runs', async () => {
  await expect(PartsLog.open('/no/such/directory/parts.log')).rejects.toThrow('/no/such/directory/parts.log');
});
