import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { claimDataDirectory } from '#service/data-directory.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a directory belongs to one process at a time, and is free again when that lets go', async () => {
  await using dir = await temporaryDirectory();
  {
    await using _lock = await claimDataDirectory(dir.path);
    await expect(claimDataDirectory(dir.path)).rejects.toThrow(/another process already uses .*store\.path/u);
  }
  expect(await readdir(dir.path)).toEqual([]);
  await using _again = await claimDataDirectory(dir.path);
});

test('of many that start at once, one gets the directory', async () => {
  await using dir = await temporaryDirectory();
  const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimDataDirectory(dir.path)));
  const won = claims.filter((claim) => claim.status === 'fulfilled');
  expect(won).toHaveLength(1);
  await won[0]!.value[Symbol.asyncDispose]();
});

test('what a killed process leaves behind is no obstacle', async () => {
  await using dir = await temporaryDirectory();
  const script = `require('net').createServer().listen(${JSON.stringify(dir.join('lock.sock'))}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await expect(claimDataDirectory(dir.path)).rejects.toThrow('another process');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await readdir(dir.path)).toEqual(['lock.sock']);
  await using _lock = await claimDataDirectory(dir.path);
  expect(await readdir(dir.path)).toEqual(['lock.sock']);
});

test('a directory is made where there is none; one too deep for a socket is refused clearly', async () => {
  await using dir = await temporaryDirectory();
  await using _lock = await claimDataDirectory(dir.join('a', 'b'));
  const deep = dir.join('x'.repeat(100));
  await mkdir(deep);
  await expect(claimDataDirectory(deep)).rejects.toThrow('longer than 107 bytes');
});
