import { expect, test } from 'vitest';
import { SELF_TEST, selfTestImages } from '#registry/self-test.ts';
import { generateSigningKey } from '#service/signing.ts';
import { OriginFixture } from '../origin/origin-fixture.ts';
import { runTracker } from '../tracker/running-tracker.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';
import { OriginStandIn } from './origin-stand-in.ts';

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

test('it pulls several images, of which no two share content: one would not make the next pull fast', () => {
  const images = [...selfTestImages()];
  expect(images.length).toBeGreaterThanOrEqual(3);
  const digests = images.flat().map(({ digest }) => digest);
  expect(new Set(digests).size).toBe(digests.length);
});

test('an agent that finds no origin is ready all the same, and says so', { timeout: 15_000 }, async () => {
  await using fixture = await startAgentFixture({ ...NOBODY, selfTest: true });
  await expect.poll(() => readiness(fixture), { timeout: 10_000 }).toMatchObject({ status: 200 });
  expect(verdictOf(fixture)).toMatch(/^self-test failed/u);
});

const verdictLevel = ({ log }: AgentFixture): unknown =>
  log.find(({ msg }) => String(msg).startsWith('self-test'))?.['level'];

test('an agent whose origins are of a version that holds other images does not wait for long, and warns of nothing', async () => {
  await using cluster = await OriginFixture.start({ settings: { selfTest: false } });
  await using fixture = await startAgentFixture({ registries: [], ...cluster.members, selfTest: true });
  await expect.poll(() => readiness(fixture), { timeout: 10_000 }).toMatchObject({ status: 200 });
  expect(verdictOf(fixture)).toBe('self-test ended early: origins answer and do not hold its images');
  expect(verdictLevel(fixture)).toBe('info');
});

test('an origin that has just started may take a moment until it holds the images', async () => {
  await using tracker = await runTracker();
  const signer = generateSigningKey();
  await using origin = await OriginStandIn.start({ tracker: tracker.running.address, signer });
  origin.scope = 'verified';
  origin.refusal = { status: 503, headers: { 'shoal-upstream': 'unreachable' } };
  await using fixture = await startAgentFixture({
    registries: [],
    trackers: [tracker.running.address],
    origins: [origin.address],
    trustedOriginKeys: [signer.publicKey.toString('base64')],
    selfTest: true,
  });
  await expect.poll(() => origin.asked.length).toBeGreaterThan(3);
  for (const { bytes } of [...selfTestImages()].flat()) origin.add(bytes);
  origin.refusal = undefined;
  await expect.poll(() => verdictOf(fixture), { timeout: 5_000 }).toBe('self-test passed');
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
