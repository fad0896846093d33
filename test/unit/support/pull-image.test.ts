import { describe, expect, test } from 'vitest';
import { makeImage, type Image } from '../../../demo/image.ts';
import { UpstreamRegistry, type UpstreamOptions } from '../../../demo/upstream-registry.ts';
import { pullImage } from '../../../demo/pull-image.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const ALICE = { name: 'alice', password: 'secret', repositories: ['team/app'] };

interface Rig extends AsyncDisposable {
  image: Image;
  registry: UpstreamRegistry;
  options: { base: string; repository: string; reference: string };
}

async function start(upstream: UpstreamOptions = {}): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await temporaryDirectory('image'));
  const image = await makeImage({ dir: dir.path, layers: [100_000, 50_000, 20_000] });
  const registry = stack.use(await UpstreamRegistry.start(upstream));
  await registry.addImage('team/app', 'v1', image);
  const kept = stack.move();
  const options = { base: registry.url, repository: 'team/app', reference: 'v1' };
  return { image, registry, options, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

describe('pulling an image as a runtime does', () => {
  test('gets every part once and tells how long it took', async () => {
    await using rig = await start();
    let seen = 0;
    const pulled = await pullImage({ ...rig.options, onBytes: (count) => void (seen += count) });
    const { image } = rig;
    const expected = [image.index, image.amd64.manifest, image.amd64.config, ...image.layers];
    expect(pulled.parts.map((part) => part.digest).sort()).toEqual(
      expected.map((part) => part.digest).sort(),
    );
    expect(pulled.bytes).toBe(image.totalBytes);
    expect(seen).toBe(image.totalBytes - image.index.size - image.amd64.manifest.size);
    expect(pulled.firstByteMs).toBeLessThanOrEqual(pulled.totalMs);
    expect(rig.registry.log.gets).toBe(expected.length);
  });

  test('takes the architecture asked for, or the one manifest that is named', async () => {
    await using rig = await start();
    const { arm64 } = rig.image;
    const other = await pullImage({ ...rig.options, architecture: 'arm64' });
    expect(other.parts.map((part) => part.digest)).toContain(arm64.config.digest);
    const named = await pullImage({ ...rig.options, reference: arm64.manifest.digest });
    expect(named.parts).toHaveLength(2 + arm64.layers.length);
    await expect(pullImage({ ...rig.options, architecture: 's390x' })).rejects.toThrow(
      'no manifest for s390x',
    );
  });

  test('tells a mirror which registry is meant', async () => {
    await using rig = await start();
    await pullImage({ ...rig.options, ns: 'registry.example:5000' });
    expect(new Set(rig.registry.log.entries.map((entry) => entry.query))).toEqual(
      new Set(['?ns=registry.example%3A5000']),
    );
  });

  test.each([
    { kind: 'basic', users: [ALICE] },
    { kind: 'token', users: [ALICE], realm: 'other' },
  ] as const)('answers a challenge: $kind', async (auth) => {
    await using rig = await start({ auth });
    const pulled = await pullImage({ ...rig.options, credentials: ALICE });
    expect(pulled.bytes).toBe(rig.image.totalBytes);
    await expect(pullImage(rig.options)).rejects.toThrow(/manifests\/v1 was answered 401/);
  });

  test('fails on a wrong byte, on a cut and on a refusal, and says on which part', async () => {
    await using rig = await start();
    const { digest, size } = rig.image.layers[1]!;
    rig.registry.faults.inject({ kind: 'corrupt', offset: 99 }, { digest, times: 1 });
    await expect(pullImage(rig.options)).rejects.toThrow(
      `blobs/${digest} gave ${size} bytes with the digest sha256:`,
    );
    rig.registry.faults.inject({ kind: 'cut', afterBytes: 99 }, { digest, times: 1 });
    await expect(pullImage(rig.options)).rejects.toThrow(`blobs/${digest} was cut after 99 bytes`);
    rig.registry.faults.inject({ kind: 'status', status: 500 }, { digest, times: 1 });
    await expect(pullImage(rig.options)).rejects.toThrow(`blobs/${digest} was answered 500`);
    expect((await pullImage(rig.options)).bytes).toBe(rig.image.totalBytes);
  });
});
