import { open, readdir, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey } from '#service/signing.ts';
import { startTracker } from '#tracker/tracker.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { failingDisk } from '../../support/failing-disk.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';
import { OriginStandIn } from './origin-stand-in.ts';

const BLOB = deterministicBytes('damaged', 6 * 1024 * 1024 + 99);
const SHA = sha256Hex(BLOB);
const PATH = `team/app/blobs/sha256:${SHA}`;

/** The file of the one blob that the agent's store holds. */
async function dataFile({ directory }: AgentFixture): Promise<string> {
  const blob = join(directory.join('store'), 'v1', 'blobs', `sha256-${SHA}`);
  expect(await readdir(dirname(blob))).toHaveLength(1);
  return join(blob, 'data');
}

async function overwrite(path: string, at: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.from('not what was stored'), 0, undefined, at);
}

/** A registry, and an agent that has pulled the blob with the hashes of an origin, unless there is none. */
async function pullOnce(
  stack: AsyncDisposableStack,
  withOrigin: boolean,
): Promise<{ agent: AgentFixture; upstream: UpstreamRegistry }> {
  const upstream = stack.use(await UpstreamRegistry.start());
  upstream.content.addBlob('team/app', BLOB);
  const options = withOrigin ? await startOrigin(stack) : {};
  const agent = stack.use(await startAgentFixture({ registries: [upstream], ...options }));
  expect(await agent.get(upstream, PATH)).toMatchObject({ sha256: SHA, complete: true });
  await agent.stored(1);
  return { agent, upstream };
}

async function startOrigin(stack: AsyncDisposableStack) {
  const flags = { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' };
  const parts = {
    signal: new AbortController().signal,
    logger: createLogger('tracker', { level: 'silent' }),
    metrics: createMetrics('tracker', { process: false }),
  };
  const { address } = stack.use(await startTracker(loadConfig('tracker', { flags }), parts));
  const signer = generateSigningKey();
  const origin = stack.use(await OriginStandIn.start({ tracker: address, signer }));
  origin.add(BLOB);
  const trustedOriginKeys = [signer.publicKey.toString('base64')];
  return { trackers: [address], origins: [origin.address], trustedOriginKeys };
}

describe('what happens to the files of a running agent', () => {
  test.each([
    ['overwritten in the middle', (path: string) => overwrite(path, 3 * 1024 * 1024)],
    ['overwritten at the end', (path: string) => overwrite(path, BLOB.length - 50)],
    ['cut short', (path: string) => truncate(path, 1024 * 1024)],
    ['deleted', (path: string) => rm(path)],
  ])('%s: the runtime gets every byte all the same', async (_what, harm) => {
    await using stack = new AsyncDisposableStack();
    const { agent, upstream } = await pullOnce(stack, true);
    await harm(await dataFile(agent));
    const range = await agent.get(upstream, PATH, { range: 'bytes=3145000-3146999' });
    expect(range).toMatchObject({ status: 206, sha256: sha256Hex(BLOB.subarray(3_145_000, 3_147_000)) });
    expect(await agent.get(upstream, PATH)).toMatchObject({ sha256: SHA, complete: true });
    // What was fetched anew is held again.
    await agent.stored(1);
    const before = upstream.log.bodyBytes;
    expect(await agent.get(upstream, PATH)).toMatchObject({ sha256: SHA, complete: true });
    expect(upstream.log.bodyBytes).toBe(before);
  });

  test('a disk that fails under them: the runtime gets every byte all the same', async () => {
    await using stack = new AsyncDisposableStack();
    const { agent, upstream } = await pullOnce(stack, true);
    const path = await dataFile(agent);
    using failing = failingDisk('read', path);
    expect(await agent.get(upstream, PATH)).toMatchObject({ sha256: SHA, complete: true });
    expect(failing.failures).toBe(1);
  });

  test('overwritten, where no origin has signed a hash: no wrong body is whole, and the next is right', async () => {
    await using stack = new AsyncDisposableStack();
    const { agent, upstream } = await pullOnce(stack, false);
    await overwrite(await dataFile(agent), 3 * 1024 * 1024);
    expect(await agent.get(upstream, PATH)).toMatchObject({ complete: false });
    expect(await agent.get(upstream, PATH)).toMatchObject({ sha256: SHA, complete: true });
  });
});
