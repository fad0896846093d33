import { describe, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, digestOf, sha256Hex } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';

const BLOB = deterministicBytes('faults', 1_000_000);
const RIGHT = sha256Hex(BLOB);

async function start(): Promise<{ registry: UpstreamRegistry; digest: string; url: string }> {
  const registry = await UpstreamRegistry.start();
  const digest = registry.content.addBlob('app', BLOB);
  return { registry, digest, url: `${registry.url}/v2/app/blobs/${digest}` };
}

describe('a faulty registry', () => {
  test('cuts a body after exactly so many bytes, once, and then behaves', async () => {
    const { registry, digest, url } = await start();
    await using _ = registry;
    const fault = registry.faults.inject({ kind: 'cut', afterBytes: 333_333 }, { digest, times: 1 });
    expect(await pullBlob(url)).toMatchObject({ status: 200, bytes: 333_333, complete: false });
    expect(await pullBlob(url)).toMatchObject({ sha256: RIGHT, complete: true });
    expect(fault.hits).toBe(1);
    expect(registry.log.bodyBytesByDigest().get(digest)).toBe(1_333_333);
    expect(registry.log.entries.map((entry) => entry.cut)).toEqual([true, false]);
  });

  test('cuts always, also ranges, until the fault is removed', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    const fault = registry.faults.inject({ kind: 'cut', afterBytes: 10 });
    expect(await pullBlob(url)).toMatchObject({ bytes: 10, complete: false });
    expect(await pullBlob(url, { range: 'bytes=5-' })).toMatchObject({
      status: 206,
      bytes: 10,
      complete: false,
    });
    fault.remove();
    expect(await pullBlob(url)).toMatchObject({ sha256: RIGHT, complete: true });
  });

  test('cuts before the first byte', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.faults.inject({ kind: 'cut', afterBytes: 0 });
    expect(await pullBlob(url)).toMatchObject({ status: 200, bytes: 0, complete: false });
  });

  test('truncates: a clean end of too short a body', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.faults.inject({ kind: 'truncate', atByte: 1000 });
    const pulled = await pullBlob(url);
    expect(pulled).toMatchObject({ bytes: 1000, complete: true, sha256: sha256Hex(BLOB.subarray(0, 1000)) });
    expect(pulled.headers['content-length']).toBe('1000');
  });

  test.each([0, 65_536, 700_000, 999_999])(
    'sends one wrong byte at %i, for this digest only',
    async (offset) => {
      const { registry, digest, url } = await start();
      await using _ = registry;
      const other = registry.content.addBlob('app', BLOB.subarray(1));
      registry.faults.inject({ kind: 'corrupt', offset }, { digest });
      const wrong = Buffer.from(BLOB);
      wrong[offset]! ^= 0xff;
      expect(await pullBlob(url)).toMatchObject({ status: 200, complete: true, sha256: sha256Hex(wrong) });
      const tail = await pullBlob(url, { range: `bytes=${offset}-` });
      expect(tail.sha256).toBe(sha256Hex(wrong.subarray(offset)));
      const clean = await pullBlob(`${registry.url}/v2/app/blobs/${other}`);
      expect(clean.sha256).toBe(other.slice(7));
      registry.faults.clear();
      expect((await pullBlob(url)).sha256).toBe(RIGHT);
    },
  );

  test('answers 503 with Retry-After for the next requests to blobs, not for others', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    const fault = { kind: 'status', status: 503, retryAfterSeconds: 7 } as const;
    registry.faults.inject(fault, { route: 'blob', method: 'GET', times: 2 });
    expect((await pullBlob(`${registry.url}/v2/`)).status).toBe(200);
    expect((await pullBlob(url, { method: 'HEAD' })).status).toBe(200);
    const first = await pullBlob(url);
    expect([first.status, first.headers['retry-after']]).toEqual([503, '7']);
    expect((await pullBlob(url)).status).toBe(503);
    expect((await pullBlob(url)).status).toBe(200);
  });

  test('ignores Range', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.faults.inject({ kind: 'ignore-range' }, { times: 1 });
    expect(await pullBlob(url, { range: 'bytes=5-9' })).toMatchObject({ status: 200, sha256: RIGHT });
  });

  test('hangs without headers for as long as one waits', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.faults.inject({ kind: 'hang' }, { times: 1 });
    await expect(pullBlob(url, { signal: AbortSignal.timeout(200) })).rejects.toThrow(/abort|timeout/i);
    await expect.poll(() => registry.log.running).toHaveLength(0);
    expect(registry.log.entries[0]).toMatchObject({ status: 0, bodyBytes: 0, cut: true });
    expect((await pullBlob(url)).status).toBe(200);
  });

  test('trickles to one while it is quick to others', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.faults.inject({ kind: 'trickle', bytesPerSecond: 20_000 }, { times: 1 });
    const slow = pullBlob(url, { hangUpAfter: 6000 });
    await expect.poll(() => registry.log.entries.length).toBe(1);
    expect((await pullBlob(url)).sha256).toBe(RIGHT);
    const pulled = await slow;
    expect(pulled.totalMs).toBeGreaterThan(250);
    expect(pulled.bytes).toBeLessThan(100_000);
  });

  test('hits only the part it is meant for', async () => {
    const { registry, url } = await start();
    await using _ = registry;
    registry.configure({ redirectBlobs: true });
    registry.faults.inject({ kind: 'status', status: 500 }, { part: 'store', times: 1 });
    expect(await pullBlob(url)).toMatchObject({ status: 500, redirects: 1 });
    expect(await pullBlob(url)).toMatchObject({ status: 200, sha256: RIGHT });
  });
});

test('a lying registry says yes to HEAD of anything and still has nothing to give', async () => {
  await using registry = await UpstreamRegistry.start({ headLies: { size: 1234 } });
  registry.content.addBlob('evil', Buffer.from('x'));
  const url = `${registry.url}/v2/evil/blobs/${digestOf('a victim')}`;
  const head = await pullBlob(url, { method: 'HEAD' });
  expect([head.status, head.headers['content-length']]).toEqual([200, '1234']);
  expect(head.headers['docker-content-digest']).toBe(digestOf('a victim'));
  expect((await pullBlob(url)).status).toBe(404);
});
