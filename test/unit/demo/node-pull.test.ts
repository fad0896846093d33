import { describe, expect, test } from 'vitest';
import { makeImage, type Image } from '../../../demo/image.ts';
import { NodePull } from '../../../demo/node-pull.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const NOTHING = { cache: 0, peer: 0, origin: 0, upstream: 0 };

interface Rig extends AsyncDisposable {
  image: Image;
  registry: UpstreamRegistry;
  from: { base: string; repository: string; reference: string };
}

async function start(): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await temporaryDirectory('node-pull'));
  const image = await makeImage({ dir: dir.path, layers: [100_000, 50_000] });
  const registry = stack.use(await UpstreamRegistry.start());
  await registry.addImage('demo/app', 'v1', image);
  const kept = stack.move();
  const from = { base: registry.url, repository: 'demo/app', reference: 'v1' };
  return { image, registry, from, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

describe("a node's pull", () => {
  test('tells how far it is, and stands still when it is over', async () => {
    await using rig = await start();
    let time = 5000;
    const pull = new NodePull('agent-1', () => time);
    expect(pull.progress).toEqual({
      name: 'agent-1',
      bytes: 0,
      sources: NOTHING,
      state: 'waiting',
      seconds: 0,
    });
    const running = pull.run(rig.from, rig.image.index.digest);
    time = 6000;
    expect(pull.progress).toMatchObject({ state: 'pulling', seconds: 1 });
    await running;
    time = 9000;
    expect(pull.progress).toMatchObject({ state: 'done', seconds: 1, bytes: rig.image.totalBytes });
    expect([...pull.arriving].sort()).toEqual(
      [rig.image.amd64.config, ...rig.image.layers].map((blob) => blob.digest).sort(),
    );
  });

  test('adds up what is learnt of its parts, the latest word on each', () => {
    const pull = new NodePull('agent-1', () => 0);
    pull.learn('a', { ...NOTHING, origin: 5 });
    pull.learn('a', { ...NOTHING, origin: 7, peer: 1 });
    pull.learn('b', { ...NOTHING, peer: 10 });
    expect(pull.sources).toEqual({ cache: 0, peer: 11, origin: 7, upstream: 0 });
  });

  test('that brings a wrong byte has failed, and so has a tag that brings another image', async () => {
    await using rig = await start();
    const { digest } = rig.image.layers[1]!;
    rig.registry.faults.inject({ kind: 'corrupt', offset: 99 }, { digest, times: 1 });
    const wrong = new NodePull('agent-1', () => 0);
    await wrong.run(rig.from, rig.image.index.digest);
    expect(wrong.progress.state).toBe('failed');
    expect(wrong.failure?.message).toContain(digest);
    const other = new NodePull('agent-2', () => 0);
    await other.run(rig.from, rig.image.amd64.manifest.digest);
    expect(other.progress.state).toBe('failed');
    expect(other.failure?.message).toContain(`instead of ${rig.image.amd64.manifest.digest}`);
  });
});
