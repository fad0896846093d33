import { afterAll, beforeAll, expect, test } from 'vitest';
import { pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import { startScene, type Scene } from './scene.ts';

const RATE = 20_000_000;
const LAYERS = [60_000_000, 30_000_000, 10_000_000] as const;

let scene: Scene;
beforeAll(async () => {
  scene = await startScene({ bytesPerSecond: RATE });
});
afterAll(() => scene?.[Symbol.asyncDispose]());

test('six nodes at once over a link of 20 MB/s: each blob crosses it once', async () => {
  keepLogsOnFailure(scene.cluster, scene.registry);
  const pushed = await scene.push('once/app', LAYERS);
  const { ca } = scene.registry;
  // The direct pull comes over the same link, from the same registry.
  const direct = await pullImage(
    `https://127.0.0.1:${scene.link.port}`,
    pushed.tag,
    scene.asked(pushed.repository),
    ca === undefined ? {} : { ca },
  );

  const before = scene.link.bytes;
  const countBefore = scene.registry.blobBytes();
  const pulls = await Promise.all(
    scene.cluster.agents.map((agent) => pullImage(agent.door, pushed.tag, scene.asked(pushed.repository))),
  );
  const crossed = scene.link.bytes - before;

  const counts = scene.registry.blobBytes();
  for (const { digest, size } of pushed.image.layers) {
    const written = (counts.get(digest) ?? 0) - (countBefore.get(digest) ?? 0);
    expect(written).toBeGreaterThanOrEqual(size);
    expect(written).toBeLessThanOrEqual(size * 1.01);
  }
  const { totalBytes } = pushed.image;
  expect(crossed).toBeLessThan(totalBytes * 1.03);

  const slowest = Math.max(...pulls.map((pull) => pull.totalMs));
  const first = pulls.map((pull) => Math.round(pull.firstLayerByteMs)).sort((a, b) => a - b);
  console.log(
    [
      `image ${totalBytes} bytes, link ${RATE} bytes/s`,
      `direct pull ${Math.round(direct.totalMs)} ms, first layer byte ${Math.round(direct.firstLayerByteMs)} ms`,
      `six agents: slowest ${Math.round(slowest)} ms (${(slowest / direct.totalMs).toFixed(2)} of the direct pull)`,
      `first layer byte ${first.join(', ')} ms`,
      `crossed the link ${crossed} bytes (${(crossed / totalBytes).toFixed(4)} of the image)`,
    ].join('; '),
  );
});
