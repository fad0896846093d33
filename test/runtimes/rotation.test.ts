import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import { startScene, type Scene } from './scene.ts';

/** Longer than the parts take to see that a file has changed. */
const SEEN_MS = 7_000;

let scene: Scene;
beforeAll(async () => {
  scene = await startScene({ cluster: { agents: 3 } });
});
afterAll(() => scene?.[Symbol.asyncDispose]());

test('the cluster key is replaced while images are pulled, and not one pull fails', async () => {
  const { cluster, registry } = scene;
  keepLogsOnFailure(cluster, registry);
  const { clusterKeyFile } = cluster;
  const old = (await readFile(clusterKeyFile, 'utf8')).trim();
  const next = randomBytes(32).toString('base64');
  const rotated = new AbortController();
  let pulls = 0;
  const pullOn = async (): Promise<void> => {
    while (!rotated.signal.aborted) {
      const pushed = await scene.push(`rotation/n${pulls}`, [1_000_000]);
      const asked = scene.asked(pushed.repository);
      await Promise.all(cluster.agents.map((agent) => pullImage(agent.door, pushed.tag, asked)));
      pulls += 1;
    }
  };
  const rotate = async (): Promise<void> => {
    for (const keys of [[old, next], [next, old], [next]]) {
      await writeFile(clusterKeyFile, `${keys.join('\n')}\n`);
      await sleep(SEEN_MS);
    }
    rotated.abort();
  };
  await Promise.all([pullOn(), rotate()]);
  expect(pulls).toBeGreaterThan(3);
  expect(cluster.logs()).not.toContain(next);

  // Origins and peers took part to the end: nobody had to help himself because of a key.
  const late = await scene.push('rotation/late', [3_000_000]);
  await Promise.all(
    cluster.agents.map((agent) => pullImage(agent.door, late.tag, scene.asked(late.repository))),
  );
  expect(registry.blobBytes().get(late.image.layers[1]?.digest ?? '')).toBe(late.image.layers[1]?.size);
});
