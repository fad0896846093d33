import { expect, test } from 'vitest';
import { SELF_TEST, selfTestImages } from '#registry/self-test.ts';
import { generateSigningKey } from '#service/signing.ts';
import { OriginFixture } from '../origin/origin-fixture.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';

const SIZE = [...selfTestImages()].flat().reduce((sum, { bytes }) => sum + bytes.length, 0);

const NOBODY = {
  registries: [],
  origins: ['127.0.0.1:1'],
  trustedOriginKeys: [generateSigningKey().publicKey.toString('base64')],
};

async function readiness({ agent }: AgentFixture): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://${agent.statusAddress}/readyz`);
  return { status: answer.status, text: await answer.text() };
}

function verdictOf({ log }: AgentFixture): unknown {
  return log.find(({ msg }) => String(msg).startsWith('self-test'))?.['msg'];
}

test('an agent is ready once it has pulled the images that origins hold, through its own door and the swarm', async () => {
  await using cluster = await OriginFixture.start({ settings: { selfTest: true } });
  await using fixture = await startAgentFixture({ registries: [], ...cluster.members, selfTest: true });
  expect(await readiness(fixture)).toMatchObject({ status: 503, text: expect.stringContaining('self-test') });
  await expect.poll(() => readiness(fixture)).toMatchObject({ status: 200 });
  expect(verdictOf(fixture)).toBe('self-test passed');
  expect(await fixture.metric('runtime_bytes_total', { source: 'origin' })).toBeGreaterThanOrEqual(SIZE);
  expect(await fixture.metric('runtime_bytes_total', { source: 'upstream' })).toBe(0);
});

test('an agent that finds no origin is ready all the same, and says so', { timeout: 15_000 }, async () => {
  await using fixture = await startAgentFixture({ ...NOBODY, selfTest: true });
  await expect.poll(() => readiness(fixture), { timeout: 10_000 }).toMatchObject({ status: 200 });
  expect(verdictOf(fixture)).toMatch(/^self-test failed/u);
});

test('an agent that stops does not wait for it', async () => {
  const fixture = await startAgentFixture({ ...NOBODY, selfTest: true });
  await fixture[Symbol.asyncDispose]();
  expect(verdictOf(fixture)).toBeUndefined();
});

test('no list of upstreams keeps an agent from it, or lets anything else in by its name', async () => {
  await using cluster = await OriginFixture.start({
    settings: { selfTest: true, upstreams: { allow: ['ghcr.io'], deny: ['*.internal'] } },
  });
  const upstreams = { allow: ['ghcr.io'], deny: ['*.internal'] };
  await using fixture = await startAgentFixture({
    registries: [],
    ...cluster.members,
    upstreams,
    selfTest: true,
  });
  await expect.poll(() => verdictOf(fixture)).toBe('self-test passed');
  const other = await fixture.get({ host: SELF_TEST.registry }, 'another/repository/manifests/v1');
  expect(other.status).toBe(403);
});

test('the registry that only origins hold is not asked on the network', async () => {
  await using fixture = await startAgentFixture({ registries: [] });
  const { repository, registry } = SELF_TEST;
  const answer = await fixture.get({ host: registry }, `${repository}/manifests/v1`);
  expect(answer.status).toBe(503);
  expect(await fixture.metric('upstream_requests_total')).toBe(0);
});
