import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';

import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runShoal } from './shoal-process.ts';

describe('shoal config writes no mirror', () => {
  test.each([
    ['http://10.0.0.1:29500', 'only an address on loopback is allowed'],
    ['http://mirror.example:29500', 'only an address on loopback is allowed'],
    ['http://127.0.0.1:31000', "lies in Kubernetes' NodePort range"],
    ['http://[::1]:31000', "lies in Kubernetes' NodePort range"],
  ])('that the agent itself refuses to open: %s', async (agent, message) => {
    await using dir = await temporaryDirectory();
    const { code, stderr } = await runShoal(['config', 'docker', '--agent', agent, '--root', dir.path]);
    expect(stderr).toContain(`shoal: --agent is "${new URL(agent).host}": `);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(await readdir(dir.path)).toEqual([]);
  });

  test.runIf(process.platform === 'linux')('where no directory can be made', async () => {
    const { code, stderr } = await runShoal(['config', 'docker', '--root', '/proc']);
    expect(stderr).toContain('shoal: the directory /proc/etc/docker cannot be made');
    expect(code).toBe(1);
  });

  test('below a root that is not there', async () => {
    await using dir = await temporaryDirectory();
    const { code, stderr } = await runShoal(['config', 'docker', '--root', dir.join('typo')]);
    expect(stderr).toContain(`--root is "${dir.join('typo')}": a directory that exists is allowed`);
    expect(code).toBe(2);
    expect(await readdir(dir.path)).toEqual([]);
  });
});

test.each(['http://127.0.0.1:29500', 'http://[::1]:29500'])('shoal config writes %s', async (agent) => {
  await using dir = await temporaryDirectory();
  const { code } = await runShoal(['config', 'docker', '--agent', agent, '--root', dir.path]);
  expect(code).toBe(0);
  expect(await readdir(dir.path)).toEqual(['etc']);
});
