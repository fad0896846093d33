import { createReadStream } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256OfStream } from '../support/bytes.ts';
import { ask, pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import type { PushedImage } from './images.ts';
import type { Part } from './part.ts';
import { eventually, mustSucceed } from './program.ts';
import { startScene, type Scene } from './scene.ts';
import { downloadByAria2, startLibtorrent } from './stock-clients.ts';
import type { ImageLayer } from '../../demo/oci-layout.ts';

const UPLOAD = '2MB/s';
/** Four pieces. */
const MIN_GIVEN = 1024 * 1024;

let scene: Scene;
beforeAll(async () => {
  scene = await startScene({
    cluster: {
      strangers: true,
      // So slow that a stranger who seeds is worth asking; the limit holds for uploads to peers only.
      origin: { bandwidth: { upload: UPLOAD } },
      agent: { bandwidth: { upload: UPLOAD } },
    },
  });
});
afterAll(() => scene?.[Symbol.asyncDispose]());

/** An image that the first agents have pulled, and its largest layer. */
async function pulledBy(
  agents: number,
  repository: string,
  size: number,
): Promise<{ pushed: PushedImage; layer: ImageLayer }> {
  const pushed = await scene.push(repository, [size]);
  const chosen = scene.cluster.agents.slice(0, agents);
  await Promise.all(chosen.map((agent) => pullImage(agent.door, pushed.tag, scene.asked(repository))));
  const layer = pushed.image.layers.find((candidate) => candidate.size >= size);
  if (layer === undefined) throw new Error('the image has no such layer');
  return { pushed, layer };
}

/** Fetches the blob's .torrent from whichever origin has it by now. */
async function torrentOf({ digest }: ImageLayer): Promise<string> {
  const bytes = await eventually(`a .torrent of ${digest}`, async () => {
    for (const url of scene.cluster.torrentUrls(digest)) {
      const response = await fetch(url);
      if (response.ok) return Buffer.from(await response.arrayBuffer());
      await response.body?.cancel();
    }
    return undefined;
  });
  const file = join(scene.directory, `${digest.slice('sha256:'.length, 19)}.torrent`);
  await writeFile(file, bytes);
  return file;
}

/** Digests of the files that a client has written. */
async function downloaded(directory: string): Promise<string[]> {
  const hashes = (await readdir(directory)).map((name) =>
    sha256OfStream(createReadStream(join(directory, name))),
  );
  return (await Promise.all(hashes)).map(({ sha256 }) => `sha256:${sha256}`);
}

test('aria2 downloads a blob by its .torrent', async () => {
  keepLogsOnFailure(scene.cluster);
  const { layer } = await pulledBy(6, 'stock/aria2', 8_000_000);
  const directory = join(scene.directory, 'aria2');
  await mkdir(directory);
  const outcome = await downloadByAria2(await torrentOf(layer), directory);
  mustSucceed(outcome);
  expect(await downloaded(directory)).toEqual([layer.digest]);
});

/** Bytes that came from any of those. */
function from(parts: readonly Part[], taken: Readonly<Record<string, number>>): number {
  return parts.reduce((sum, { peerAddress = '' }) => sum + (taken[peerAddress] ?? 0), 0);
}

test.each(['agents', 'origins'] as const)(
  'libtorrent downloads a blob by its .torrent from %s',
  async (givers) => {
    keepLogsOnFailure(scene.cluster);
    const { layer } = await pulledBy(2, `stock/libtorrent-${givers}`, 6_000_000);
    const torrent = await torrentOf(layer);
    const { [givers]: alone, [givers === 'agents' ? 'origins' : 'agents']: others } = scene.cluster;
    await Promise.all(others.map((part) => part.stop()));
    try {
      const directory = join(scene.directory, `libtorrent-${givers}`);
      await mkdir(directory);
      await using client = await startLibtorrent(torrent, directory);
      const { taken } = await client.untilDone();
      expect(await downloaded(directory)).toEqual([layer.digest]);
      // Its count by peer lags behind a little.
      expect(from(alone, taken)).toBeGreaterThan(layer.size * 0.9);
    } finally {
      await Promise.all(others.map((part) => part.start()));
    }
  },
);

test('an agent takes pieces from libtorrent, and checks them', async () => {
  keepLogsOnFailure(scene.cluster);
  const { pushed, layer } = await pulledBy(1, 'stock/seed', 16_000_000);
  const directory = join(scene.directory, 'seed');
  await mkdir(directory);
  await using seed = await startLibtorrent(await torrentOf(layer), directory);
  await seed.untilDone();
  const before = seed.status()?.uploaded ?? 0;
  const late = scene.agent(5);
  const pulled = await ask(late.door, `blobs/${layer.digest}`, scene.asked(pushed.repository));
  expect(pulled).toMatchObject({ status: 200, complete: true, bytes: layer.size });
  expect(`sha256:${pulled.sha256}`).toBe(layer.digest);
  await eventually('libtorrent gave several pieces', () => {
    const given = (seed.status()?.uploaded ?? 0) - before;
    return given > MIN_GIVEN ? given : undefined;
  });
});
