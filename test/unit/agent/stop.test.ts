import { expect, test } from 'vitest';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { Arrival, startAgentFixture } from './agent-fixture.ts';

const REPOSITORY = 'team/app';
/** Longer than other listeners give to what is under way. */
const SECONDS = 7;
const RATE = 300_000;

test('an agent that is told to stop takes nothing new, and ends the answers that are under way', async () => {
  await using upstream = await UpstreamRegistry.start({ bytesPerSecond: RATE });
  const blob = deterministicBytes('stop', SECONDS * RATE);
  const digest = upstream.content.addBlob(REPOSITORY, blob);
  await using agent = await startAgentFixture({ registries: [upstream] });
  const arrival = new Arrival();
  const pull = agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, { onBytes: arrival.onBytes });
  await arrival.reach(RATE / 4);
  const stopped = agent.agent[Symbol.asyncDispose]();
  await expect
    .poll(() => agent.get(upstream, `${REPOSITORY}/blobs/${digest}`).catch(String))
    .toMatch(/ECONNREFUSED/u);
  expect(arrival.bytes).toBeLessThan(blob.length);
  expect(await pull).toMatchObject({ status: 200, complete: true, sha256: sha256Hex(blob) });
  await stopped;
});
