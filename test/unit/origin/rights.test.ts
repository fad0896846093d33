import { expect, test } from 'vitest';
import { parseDigest } from '#registry/digest.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

const basic = (name: string): string => `Basic ${Buffer.from(`${name}:secret`).toString('base64')}`;
const user = (name: string, repositories: readonly string[]) => ({ name, password: 'secret', repositories });

/** A token of the registry's realm. */
async function token(upstream: UpstreamRegistry, name: string, repository = 'team/app'): Promise<string> {
  const query = new URLSearchParams({ service: 'upstream', scope: `repository:${repository}:pull` });
  const response = await fetch(`${upstream.realmUrl}?${query.toString()}`, {
    headers: { authorization: basic(name) },
  });
  const { token: value }: { token: string } = JSON.parse(await response.text());
  return `Bearer ${value}`;
}

test("upstream's refusal comes back as it is, and merges with nobody else's question", async () => {
  await using fixture = await OriginFixture.start({
    upstream: { latencyMs: 50, auth: { kind: 'basic', users: [user('ann', ['team/app'])] } },
  });
  const digest = addBlob(fixture.upstream, deterministicBytes('private', 2 * MIB));
  const [refused, wrong, granted] = await Promise.all([
    fixture.ask(0, `blobs/${digest}`),
    fixture.ask(0, `blobs/${digest}`, { authorization: basic('eve') }),
    fixture.ask(0, `blobs/${digest}`, { authorization: basic('ann') }),
  ]);
  expect(refused.status).toBe(401);
  expect(refused.headers['www-authenticate']).toMatch(/^Basic realm=/u);
  expect(refused.headers['shoal-upstream']).toBe('refused');
  expect(JSON.parse(refused.body.toString())).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
  expect(wrong.status).toBe(401);
  expect(granted.status).toBe(200);
  expect(granted.headers['shoal-verdict']).toBe('positive');
});

test('a token that expires in the middle of a read is replaced by that of another caller who waits', async () => {
  await using fixture = await OriginFixture.start({
    origins: 1,
    upstream: {
      bytesPerSecond: 6 * MIB,
      auth: { kind: 'token', users: [user('ann', ['team/app']), user('bob', ['team/app'])] },
    },
  });
  const { upstream } = fixture;
  const blob = deterministicBytes('expiry', 8 * MIB);
  const digest = addBlob(upstream, blob);
  const agent = await fixture.member();
  const descriptor = await fixture.describe(0, digest, { authorization: await token(upstream, 'ann') });
  const reading = readDigest(await fixture.join(agent, descriptor));
  upstream.revokeTokens();
  await fixture.describe(0, digest, { authorization: 'Bearer of-somebody-without-rights' });
  const headers = { 'shoal-verdict': 'positive' };
  await fixture.describe(0, digest, { authorization: await token(upstream, 'bob'), headers });
  await until('a part is read', () => fixture.upstreamBytes(digest) > 3 * MIB);
  // The connection breaks, and the token that opened it is no good any more.
  await upstream.stop('registry');
  await upstream.start('registry');
  expect(await reading).toBe(digest);
  const users = new Set(
    upstream.log.entries.filter(({ status }) => status === 206).map((entry) => entry.user),
  );
  expect(users).toEqual(new Set(['bob']));
});

test('with no good credential left the read ends, and who comes with a fresh one finds its pieces', async () => {
  await using fixture = await OriginFixture.start({
    origins: 1,
    upstream: { bytesPerSecond: 8 * MIB, auth: { kind: 'token', users: [user('ann', ['team/app'])] } },
  });
  const { upstream } = fixture;
  const blob = deterministicBytes('fresh token', 8 * MIB);
  const digest = addBlob(upstream, blob);
  const stale = await token(upstream, 'ann');
  const agent = await fixture.member();
  const reading = readDigest(
    await fixture.join(agent, await fixture.describe(0, digest, { authorization: stale })),
  );
  await until('a part is read', () => fixture.upstreamBytes(digest) > 4 * MIB);
  upstream.revokeTokens();
  await upstream.stop('registry');
  await upstream.start('registry');
  await until(
    'the read has ended',
    async () => (await fixture.get(0, `/v1/reads/${digest}?registry=${upstream.host}`)).status === 404,
  );
  const before = fixture.upstreamBytes(digest);
  expect((await fixture.ask(0, `blobs/${digest}`, { authorization: stale })).status).toBe(401);
  await fixture.describe(0, digest, { authorization: await token(upstream, 'ann') });
  expect(await reading).toBe(digest);
  expect(fixture.upstreamBytes(digest) - before).toBeLessThan(blob.length - 3 * MIB);
});

test("a registry that answers HEAD for a victim's digest gets nothing of what the victim's delivered", async () => {
  await using hostile = await UpstreamRegistry.start();
  await using fixture = await OriginFixture.start({ others: [hostile] });
  const blob = deterministicBytes('victim', 3 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const small = addBlob(fixture.upstream, Buffer.from('a small secret'));
  const agent = await fixture.member();
  await readDigest(await fixture.join(agent, await fixture.describe(0, digest)));
  await fixture.ask(0, `blobs/${small}`);
  await until('the blob is stored', async () => (await fixture.describe(0, digest)).scope === 'verified');
  hostile.configure({ headLies: { size: blob.length } });
  addBlob(hostile, Buffer.from('something'), 'evil/app');
  const asked = { upstream: hostile.host, repository: 'evil/app' };
  for (const origin of [0, 1]) {
    const refused = await fixture.ask(origin, `blobs/${digest}`, asked);
    expect(refused.status).toBe(404);
    expect(refused.headers['shoal-upstream']).toBe('refused');
    expect((await fixture.ask(origin, `blobs/${small}`, asked)).status).toBe(404);
  }
  // With bytes of its own under that digest it proves nothing either.
  hostile.content.addBlob('evil/app', deterministicBytes('guess', blob.length), digest);
  const guessed = await fixture.ask(0, `blobs/${digest}`, asked);
  expect(guessed.status).toBe(502);
  expect(guessed.headers['shoal-upstream']).toBe('unreachable');
});

test('a registry that has the same bytes proves it by a range, and is not read again', async () => {
  await using other = await UpstreamRegistry.start();
  await using fixture = await OriginFixture.start({ others: [other] });
  const blob = deterministicBytes('shared base', 4 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  addBlob(other, blob, 'mirror/app');
  const agent = await fixture.member();
  await readDigest(await fixture.join(agent, await fixture.describe(0, digest)));
  await until('the blob is stored', async () => (await fixture.describe(0, digest)).scope === 'verified');
  const asked = { upstream: other.host, repository: 'mirror/app' };
  expect(await fixture.describe(1, digest, asked)).toMatchObject({ scope: 'verified', size: blob.length });
  expect(fixture.upstreamBytes(digest, other)).toBe(32 * 1024);
  await fixture.describe(0, digest, asked);
  expect(fixture.upstreamBytes(digest, other)).toBe(32 * 1024);
});

test('what the cluster holds and no origin does comes from the swarm, after the proof', async () => {
  await using fixture = await OriginFixture.start();
  const blob = deterministicBytes('evicted', 4 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const [owner = 0, next = 1] = fixture.order(digest);
  const agent = await fixture.member();
  await readDigest(await fixture.join(agent, await fixture.describe(owner, digest)));
  await until('the agent has stored it', () => agent.store.has(digest));
  await fixture.stopOrigin(owner);
  const descriptor = await fixture.describe(next, digest);
  expect(descriptor).toMatchObject({ scope: 'verified', size: blob.length });
  expect(fixture.upstreamBytes(digest)).toBe(blob.length + 32 * 1024);
});

test('a blob of another repository of the same registry needs that repository to have it', async () => {
  await using fixture = await OriginFixture.start();
  const blob = deterministicBytes('elsewhere', MIB);
  const digest = addBlob(fixture.upstream, blob);
  addBlob(fixture.upstream, Buffer.from('other'), 'team/other');
  await fixture.describe(0, digest);
  const before = fixture.upstream.log.gets;
  expect((await fixture.ask(0, `blobs/${digest}`, { repository: 'team/other' })).status).toBe(404);
  fixture.upstream.content.addBlob('team/other', blob);
  expect((await fixture.ask(0, `blobs/${digest}`, { repository: 'team/other' })).status).toBe(200);
  expect(fixture.upstream.log.gets).toBe(before);
});

test('bytes that are not those of the digest are never whole, and nothing of them is kept', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const blob = deterministicBytes('wrong', 2 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const fault = fixture.upstream.faults.inject({ kind: 'corrupt', offset: 1_500_000 }, { digest });
  const agent = await fixture.member();
  const torrent = await fixture.join(agent, await fixture.describe(0, digest));
  const reading = readDigest(torrent, AbortSignal.timeout(4_000));
  await until('the read has ended', async () => (await fixture.ask(0, `blobs/${digest}`)).status === 502);
  await expect(reading).rejects.toThrow(/abort|match|ended/u);
  expect(agent.store.has(digest)).toBe(false);
  const metrics = await fetch(`http://${fixture.origin(0).statusAddress}/metrics`);
  const text = await metrics.text();
  expect(text).toMatch(/shoal_origin_store_bytes\{kind="partial"\} 0/u);
  expect(text).toMatch(/shoal_origin_store_bytes\{kind="complete"\} 0/u);
  fault.remove();
});

test('a repository that anybody may read is found out, and known after a restart', async () => {
  await using fixture = await OriginFixture.start({
    origins: 2,
    upstream: {
      auth: { kind: 'token', users: [user('ann', ['team/app', 'team/private'])], anonymous: ['team/app'] },
    },
  });
  const { upstream } = fixture;
  const digest = parseDigest(upstream.content.addBlob('team/app', deterministicBytes('public', 1000)));
  upstream.content.addBlob('team/private', deterministicBytes('private', 1000));
  const path = `/v1/anonymous?registry=${upstream.host}&repository=`;
  const answered = await fixture.ask(0, `blobs/${digest}`, { authorization: await token(upstream, 'ann') });
  expect(answered.status).toBe(200);
  await until('it is known', async () => (await fixture.get(0, `${path}team/app`)).status === 200);
  expect((await fixture.get(1, `${path}team/app`)).status).toBe(200);
  expect((await fixture.get(0, `${path}team/private`)).status).toBe(404);
  for (const index of [0, 1]) await fixture.stopOrigin(index);
  for (const index of [0, 1]) await fixture.startOrigin(index);
  expect((await fixture.get(0, `${path}team/app`)).status).toBe(200);
  const after = await fixture.ask(0, `blobs/${digest}`);
  expect(Number(after.headers['shoal-anonymous'])).toBeGreaterThan(1_700_000_000);
});
