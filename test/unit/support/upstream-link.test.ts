import { describe, expect, test } from 'vitest';
import { Bandwidth } from '../../../demo/upstream/bandwidth.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';

const BLOB = deterministicBytes('link', 4_000_000);

/** Milliseconds for the blob at this many connections at once; only a lower bound can be asserted on a busy machine. */
async function timeFor(registry: UpstreamRegistry, connections: number): Promise<number> {
  const digest = registry.content.addBlob('app', BLOB);
  const started = performance.now();
  const url = `${registry.url}/v2/app/blobs/${digest}`;
  await Promise.all(Array.from({ length: connections }, () => pullBlob(url)));
  return performance.now() - started;
}

describe('the link', () => {
  test('lets no more through than its width, however many connections share it', async () => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 10_000_000 });
    expect(await timeFor(registry, 1)).toBeGreaterThan(400 * 0.97);
    expect(await timeFor(registry, 4)).toBeGreaterThan(1600 * 0.97);
  });

  test('is shared evenly by those that read at once', async () => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 8_000_000 });
    const digest = registry.content.addBlob('app', BLOB);
    const url = `${registry.url}/v2/app/blobs/${digest}`;
    const late = [0, 0, 0];
    await Promise.all(
      late.map((_, index) =>
        pullBlob(url, { onBytes: (bytes) => void (late[index]! += bytes), hangUpAfter: 1_500_000 }),
      ),
    );
    expect(Math.max(...late) - Math.min(...late)).toBeLessThan(500_000);
  });

  test('can be widened while it is in use', async () => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 1000 });
    const running = timeFor(registry, 1);
    await expect.poll(() => registry.log.running.length).toBe(1);
    registry.configure({ bytesPerSecond: undefined });
    await expect(running).resolves.toBeLessThan(60_000);
  });

  test('delays headers by its latency', async () => {
    await using registry = await UpstreamRegistry.start({ latencyMs: 150 });
    const { firstByteMs } = await pullBlob(`${registry.url}/v2/`);
    expect(firstByteMs).toBeGreaterThan(145);
  });

  test('frees who gives up waiting, and serves those behind', async () => {
    const link = new Bandwidth(10_000);
    const given = new AbortController();
    const first = link.take(1_000_000, given.signal);
    const second = link.take(10);
    given.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await expect(second).resolves.toBeUndefined();
  });

  test.each([0, -1, Number.NaN, Infinity])('a width of %s is refused', (rate) => {
    expect(() => new Bandwidth(rate)).toThrow(/allowed is a positive number/);
  });

  test('saves nothing up while it is idle', async () => {
    const link = new Bandwidth(100_000);
    await link.take(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const started = performance.now();
    await link.take(20_000);
    expect(performance.now() - started).toBeGreaterThan(195);
  });

  test('saves nothing up between one flow and the next, however short the pause', async () => {
    const link = new Bandwidth(1_000_000);
    const started = performance.now();
    for (let flow = 0; flow < 10; flow++) {
      await new Promise((resolve) => setTimeout(resolve, 15));
      using _ = link.open();
      await link.take(20_000);
    }
    expect(performance.now() - started).toBeGreaterThan(10 * (15 + 20) * 0.95);
  });
});
