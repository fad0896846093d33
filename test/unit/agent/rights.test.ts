import { describe, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const SECRET = deterministicBytes('secret', 2 * MIB);
const REPOSITORY = 'victim/app';
const ANN = `Basic ${Buffer.from('ann:pw').toString('base64')}`;
const BOB = `Basic ${Buffer.from('bob:pw').toString('base64')}`;
const WRONG = `Basic ${Buffer.from('ann:guess').toString('base64')}`;

const USERS = [
  { name: 'ann', password: 'pw', repositories: [REPOSITORY] },
  { name: 'bob', password: 'pw', repositories: ['bob/app'] },
];

function startPrivate(): Promise<UpstreamRegistry> {
  return UpstreamRegistry.start({ auth: { kind: 'basic', users: USERS } });
}

/** An agent that holds a private blob and a private manifest, which ann may read. */
async function startCached(rights: Record<string, string> = {}) {
  await using starting = new AsyncDisposableStack();
  const upstream = starting.use(await startPrivate());
  const digest = upstream.content.addBlob(REPOSITORY, SECRET);
  const manifest = upstream.content.addManifest(
    REPOSITORY,
    { schemaVersion: 2, secret: true },
    { tag: 'v1' },
  );
  const agent = starting.use(await startAgentFixture({ registries: [upstream], rights }));
  const blob = `${REPOSITORY}/blobs/${digest}`;
  for (const path of [blob, `${REPOSITORY}/manifests/${manifest}`])
    expect(await agent.get(upstream, path, { authorization: ANN })).toMatchObject({
      status: 200,
      complete: true,
    });
  await agent.stored(2);
  const all = starting.move();
  return { agent, upstream, digest, manifest, blob, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

describe('a private blob that the node has cached', () => {
  test('is refused without credentials, with the registry’s own challenge', async () => {
    await using cached = await startCached();
    const { agent, upstream, manifest, blob } = cached;
    for (const path of [blob, `${REPOSITORY}/manifests/${manifest}`, `${REPOSITORY}/manifests/v1`]) {
      const answer = await agent.get(upstream, path);
      expect({ path, status: answer.status }).toEqual({ path, status: 401 });
      expect(answer.headers['www-authenticate']).toBe('Basic realm="Upstream"');
      expect(JSON.parse(answer.head.toString()).errors[0].code).toBe('UNAUTHORIZED');
    }
  });

  test('is refused to wrong credentials, and to right ones of another repository', async () => {
    await using cached = await startCached();
    const { agent, upstream, blob } = cached;
    expect(await agent.get(upstream, blob, { authorization: WRONG })).toMatchObject({ status: 401 });
    expect(await agent.get(upstream, blob, { authorization: BOB })).toMatchObject({ status: 403 });
    expect(await agent.get(upstream, blob, { authorization: BOB, method: 'HEAD' })).toMatchObject({
      status: 403,
    });
    expect(await agent.get(upstream, blob, { authorization: BOB, range: 'bytes=0-9' })).toMatchObject({
      status: 403,
    });
  });

  test('is not given out under a repository that the caller may read but that does not have it', async () => {
    await using cached = await startCached();
    const { agent, upstream, digest } = cached;
    upstream.content.addBlob('bob/app', Buffer.from('own'));
    const invented = await agent.get(upstream, `bob/app/blobs/${digest}`, { authorization: BOB });
    expect(invented.status).toBe(404);
    const own = await agent.get(upstream, `bob/app/blobs/sha256:${sha256Hex('own')}`, { authorization: BOB });
    expect(own.status).toBe(200);
    // Bob's right to his repository is fresh now: no HEAD would be put to the registry for it.
    const again = await agent.get(upstream, `bob/app/blobs/${digest}`, { authorization: BOB });
    expect(again.status).toBe(404);
    expect(again.bytes).toBeLessThan(1000);
  });

  test('is refused once the registry revoked the credential and the verdict has lapsed, also when the registry then dies', async () => {
    await using cached = await startCached({ verdictLifetime: '0' });
    const { agent, upstream, blob } = cached;
    upstream.configure({ auth: { kind: 'basic', users: [] } });
    expect(await agent.get(upstream, blob, { authorization: ANN })).toMatchObject({ status: 401 });
    await upstream.stop();
    expect(await agent.get(upstream, blob, { authorization: ANN })).toMatchObject({ status: 503 });
  });

  test('stays readable to who could read it before while the registry is down, and to nobody else', async () => {
    await using cached = await startCached({ verdictLifetime: '0' });
    const { agent, upstream, blob, manifest } = cached;
    await upstream.stop();
    const stale = await agent.get(upstream, blob, { authorization: ANN });
    expect(stale).toMatchObject({ status: 200, sha256: sha256Hex(SECRET), complete: true });
    const byDigest = await agent.get(upstream, `${REPOSITORY}/manifests/${manifest}`, { authorization: ANN });
    expect(byDigest.status).toBe(200);
    for (const authorization of [undefined, WRONG, BOB])
      expect(await agent.get(upstream, blob, { authorization })).toMatchObject({ status: 503 });
    expect(await agent.metric('verdicts_total', { outcome: 'stale' })).toBe(2);
  });

  test('is not readable on an old verdict once staleAuth is over', async () => {
    await using cached = await startCached({ verdictLifetime: '0', staleAuth: '0' });
    const { agent, upstream, blob } = cached;
    await upstream.stop();
    expect(await agent.get(upstream, blob, { authorization: ANN })).toMatchObject({ status: 503 });
  });

  test('needs no question to the registry within the verdict’s life', async () => {
    await using cached = await startCached();
    const { agent, upstream, blob } = cached;
    await upstream.stop();
    expect(await agent.get(upstream, blob, { authorization: ANN })).toMatchObject({
      status: 200,
      complete: true,
    });
  });
});

/** An agent that holds a victim's blob, and a registry of an attacker's own. */
async function startAttack() {
  await using starting = new AsyncDisposableStack();
  const victim = starting.use(await startPrivate());
  const digest = victim.content.addBlob(REPOSITORY, SECRET);
  const hostile = starting.use(await UpstreamRegistry.start());
  hostile.content.addBlob('evil/app', Buffer.from('anything'));
  const agent = starting.use(await startAgentFixture({ registries: [victim, hostile] }));
  const first = await agent.get(victim, `${REPOSITORY}/blobs/${digest}`, { authorization: ANN });
  expect(first).toMatchObject({ status: 200, complete: true });
  await agent.stored(1);
  const all = starting.move();
  const steal = (options = {}) => agent.get(hostile, `evil/app/blobs/${digest}`, options);
  return { agent, victim, hostile, digest, steal, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

describe('a hostile registry', () => {
  test('that answers 200 to HEAD of a victim’s digest gets nothing out', async () => {
    await using attack = await startAttack();
    attack.hostile.configure({ headLies: { size: SECRET.length } });
    for (const range of [undefined, 'bytes=0-99', `bytes=${SECRET.length - 10}-`]) {
      const stolen = await attack.steal({ range });
      expect(stolen.status).toBe(404);
      expect(SECRET.includes(stolen.head)).toBe(false);
    }
  });

  test('that claims the digest as small content gets nothing out', async () => {
    await using attack = await startAttack();
    attack.hostile.configure({ headLies: { size: 100 } });
    expect(await attack.steal()).toMatchObject({ status: 404 });
  });

  test('that has other bytes of the same length gets its own bytes at most, and never a complete body', async () => {
    await using attack = await startAttack();
    const fake = deterministicBytes('fake', SECRET.length);
    attack.hostile.content.addBlob('evil/app', fake, attack.digest);
    const stolen = await attack.steal();
    expect(stolen.complete).toBe(false);
    expect(stolen.bytes).toBeLessThan(SECRET.length);
    expect(fake.subarray(0, stolen.head.length).equals(stolen.head)).toBe(true);
    expect(await attack.agent.metric('provenance_proofs_total', { outcome: 'refuted' })).toBe(1);
    const rightful = await attack.agent.get(attack.victim, `${REPOSITORY}/blobs/${attack.digest}`, {
      authorization: ANN,
    });
    expect(rightful).toMatchObject({ sha256: sha256Hex(SECRET), complete: true });
  });

  test('may serve the same digest once it proves to have the bytes, and the proof is kept', async () => {
    await using attack = await startAttack();
    attack.hostile.content.addBlob('evil/app', SECRET);
    expect(await attack.steal()).toMatchObject({ status: 200, sha256: sha256Hex(SECRET), complete: true });
    expect(attack.hostile.log.bodyBytesByDigest().get(attack.digest)).toBeLessThan(100_000);
    attack.hostile.log.clear();
    expect(await attack.steal()).toMatchObject({ status: 200, complete: true });
    expect(attack.hostile.log.entries).toEqual([]);
  });

  test('that does not serve ranges has to deliver the whole itself', async () => {
    await using attack = await startAttack();
    attack.hostile.content.addBlob('evil/app', SECRET);
    attack.hostile.faults.inject({ kind: 'ignore-range' });
    expect(await attack.steal()).toMatchObject({ status: 200, sha256: sha256Hex(SECRET), complete: true });
    expect(attack.hostile.log.bodyBytesByDigest().get(attack.digest)).toBeGreaterThanOrEqual(SECRET.length);
  });
});

describe('a manifest', () => {
  test('that one registry delivered is not given out for another’s claim', async () => {
    await using victim = await startPrivate();
    const digest = victim.content.addManifest(REPOSITORY, { schemaVersion: 2, secret: 'manifest' });
    await using hostile = await UpstreamRegistry.start({ headLies: { size: 60 } });
    await using agent = await startAgentFixture({ registries: [victim, hostile] });
    const path = `manifests/${digest}`;
    expect(await agent.get(victim, `${REPOSITORY}/${path}`, { authorization: ANN })).toMatchObject({
      status: 200,
    });
    const stolen = await agent.get(hostile, `evil/app/${path}`);
    expect(stolen.status).toBe(404);
    expect(stolen.head.toString()).not.toContain('secret');
  });

  test('whose bytes do not match the digest is refused', async () => {
    await using upstream = await UpstreamRegistry.start();
    const digest = upstream.content.addManifest('app', { schemaVersion: 2 }, { tag: 'v1' });
    upstream.faults.inject({ kind: 'corrupt', offset: 3 });
    await using agent = await startAgentFixture({ registries: [upstream] });
    expect(await agent.get(upstream, `app/manifests/${digest}`)).toMatchObject({ status: 503 });
    expect(await agent.get(upstream, 'app/manifests/v1')).toMatchObject({ status: 503 });
  });

  test('by a tag that moved upstream is the new one', async () => {
    await using upstream = await UpstreamRegistry.start();
    const first = upstream.content.addManifest('app', { schemaVersion: 2, n: 1 }, { tag: 'v1' });
    await using agent = await startAgentFixture({ registries: [upstream] });
    const digestOfTag = async () =>
      (await agent.get(upstream, 'app/manifests/v1')).headers['docker-content-digest'];
    expect(await digestOfTag()).toBe(first);
    const second = upstream.content.addManifest('app', { schemaVersion: 2, n: 2 }, { tag: 'v1' });
    expect(await digestOfTag()).toBe(second);
  });

  test('by tag stays known while registry and origins are down, and that is counted', async () => {
    await using upstream = await UpstreamRegistry.start();
    const digest = upstream.content.addManifest('app', { schemaVersion: 2 }, { tag: 'v1' });
    await using agent = await startAgentFixture({ registries: [upstream] });
    await agent.get(upstream, 'app/manifests/v1');
    await upstream.stop();
    const stale = await agent.get(upstream, 'app/manifests/v1');
    expect(stale.status).toBe(200);
    expect(stale.headers['docker-content-digest']).toBe(digest);
    expect(await agent.metric('stale_tags_total')).toBe(1);
    expect(await agent.get(upstream, 'app/manifests/never-asked')).toMatchObject({ status: 503 });
  });
});

test('upstream’s 429 is not passed on: the runtime hears 503', async () => {
  await using upstream = await UpstreamRegistry.start();
  const digest = upstream.content.addBlob('app', Buffer.from('x'));
  upstream.faults.inject({ kind: 'status', status: 429, retryAfterSeconds: 60 });
  await using agent = await startAgentFixture({ registries: [upstream] });
  const answer = await agent.get(upstream, `app/blobs/${digest}`);
  expect(answer.status).toBe(503);
  expect(answer.headers['retry-after']).toBe('60');
  expect(JSON.parse(answer.head.toString()).errors[0].code).toBe('UNAVAILABLE');
});

test('no credential reaches the log or the metrics', async () => {
  await using upstream = await startPrivate();
  const digest = upstream.content.addBlob(REPOSITORY, SECRET);
  await using agent = await startAgentFixture({ registries: [upstream] });
  await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, { authorization: ANN });
  await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, { authorization: WRONG });
  await upstream.stop();
  await agent.get(upstream, `${REPOSITORY}/tags/list`, { authorization: ANN });
  const seen = JSON.stringify(agent.log) + (await agent.metrics.expose()).text;
  for (const secret of [ANN, WRONG, ANN.slice(6), WRONG.slice(6)]) expect(seen).not.toContain(secret);
});
