import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { basicAuthorization } from '../../../demo/upstream/authority.ts';
import { UpstreamRegistry, type UpstreamOptions } from '../../../demo/upstream-registry.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';

const ALICE = { name: 'alice', password: 'a:1', repositories: ['team/app'] };
const BOB = { name: 'bob', password: 'b', repositories: 'all' } as const;
const USERS = [ALICE, BOB];
const BLOB = Buffer.from('private bytes');

async function start(auth: NonNullable<UpstreamOptions['auth']>): Promise<{
  registry: UpstreamRegistry;
  blob: (repository: string) => string;
}> {
  const registry = await UpstreamRegistry.start({ auth });
  for (const name of ['team/app', 'team/other', 'open']) registry.content.addBlob(name, BLOB);
  const digest = registry.content.addBlob('open', BLOB);
  return { registry, blob: (repository) => `${registry.url}/v2/${repository}/blobs/${digest}` };
}

interface Challenge {
  realm: string;
  scope: string;
  error: string | undefined;
}

function challenge(header: string | undefined): Challenge {
  const part = (name: string): string | undefined => new RegExp(`${name}="([^"]*)"`).exec(header ?? '')?.[1];
  return { realm: part('realm') ?? '', scope: part('scope') ?? '', error: part('error') };
}

/** As a runtime does: asked, challenged, exchanged. */
async function tokenFor(url: string, authorization?: string): Promise<string> {
  const refused = await pullBlob(url);
  const { realm, scope } = challenge(refused.headers['www-authenticate']);
  const issued = await pullBlob(`${realm}?service=upstream&scope=${scope}`, { authorization });
  expect(issued.status).toBe(200);
  const { token }: { token: string } = JSON.parse(issued.head.toString());
  return `Bearer ${token}`;
}

describe('Basic', () => {
  test('reads what the user may read; else 401 without and with wrong credentials, 403 without the right', async () => {
    const { registry, blob } = await start({ kind: 'basic', users: USERS, anonymous: ['open'] });
    await using _ = registry;
    const status = async (repository: string, authorization?: string): Promise<number> =>
      (await pullBlob(blob(repository), { authorization })).status;
    const wrong = basicAuthorization({ name: 'alice', password: 'b' });
    expect(await status('team/app')).toBe(401);
    expect(await status('team/app', wrong)).toBe(401);
    expect(await status('open', wrong)).toBe(401);
    expect(await status('team/app', basicAuthorization(ALICE))).toBe(200);
    expect(await status('team/other', basicAuthorization(ALICE))).toBe(403);
    expect(await status('team/other', basicAuthorization(BOB))).toBe(200);
    expect(await status('open')).toBe(200);
    expect(registry.log.entries.map(({ authorization, user }) => [authorization, user])).toEqual([
      ['none', undefined],
      ['basic', undefined],
      ['basic', undefined],
      ['basic', 'alice'],
      ['basic', 'alice'],
      ['basic', 'bob'],
      ['none', undefined],
    ]);
  });

  test('the challenge stands at /v2/ too', async () => {
    const { registry } = await start({ kind: 'basic', users: USERS });
    await using _ = registry;
    const refused = await pullBlob(`${registry.url}/v2/`);
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Basic realm="Upstream"']);
    expect((await pullBlob(`${registry.url}/v2/`, { authorization: basicAuthorization(ALICE) })).status).toBe(
      200,
    );
  });
});

describe.each(['same', 'other'] as const)('tokens from a realm on the %s server', (realm) => {
  test('open the repositories that the user may read, and no others', async () => {
    const { registry, blob } = await start({ kind: 'token', users: USERS, realm });
    await using _ = registry;
    const token = await tokenFor(blob('team/app'), basicAuthorization(ALICE));
    expect((await pullBlob(blob('team/app'), { authorization: token })).head.equals(BLOB)).toBe(true);
    const elsewhere = await pullBlob(blob('team/other'), { authorization: token });
    expect(elsewhere.status).toBe(401);
    expect(challenge(elsewhere.headers['www-authenticate'])).toEqual({
      realm: registry.realmUrl,
      scope: 'repository:team/other:pull',
      error: 'insufficient_scope',
    });
    const useless = await tokenFor(blob('team/other'), basicAuthorization(ALICE));
    expect((await pullBlob(blob('team/other'), { authorization: useless })).status).toBe(401);
    expect(registry.realmUrl.startsWith(registry.url)).toBe(realm === 'same');
  });
});

describe('tokens', () => {
  test('are given to nobody in particular only for what is open', async () => {
    const { registry, blob } = await start({ kind: 'token', users: USERS, anonymous: ['open'] });
    await using _ = registry;
    expect((await pullBlob(blob('open'), { authorization: await tokenFor(blob('open')) })).status).toBe(200);
    const none = await tokenFor(blob('team/app'));
    expect((await pullBlob(blob('team/app'), { authorization: none })).status).toBe(401);
  });

  test('are not given for a wrong password', async () => {
    const { registry } = await start({ kind: 'token', users: USERS });
    await using _ = registry;
    const authorization = basicAuthorization({ name: 'alice', password: 'x' });
    expect((await pullBlob(registry.realmUrl, { authorization })).status).toBe(401);
  });

  test('end with their lifetime, and when they are revoked', async () => {
    const { registry, blob } = await start({ kind: 'token', users: USERS, lifetimeSeconds: 0.3 });
    await using _ = registry;
    const token = await tokenFor(blob('team/app'), basicAuthorization(ALICE));
    await sleep(350);
    const late = await pullBlob(blob('team/app'), { authorization: token });
    expect([late.status, challenge(late.headers['www-authenticate']).error]).toEqual([401, 'invalid_token']);
    registry.configure({ auth: { kind: 'token', users: USERS, lifetimeSeconds: 60 } });
    const fresh = await tokenFor(blob('team/app'), basicAuthorization(ALICE));
    expect((await pullBlob(blob('team/app'), { authorization: fresh })).status).toBe(200);
    registry.revokeTokens();
    expect((await pullBlob(blob('team/app'), { authorization: fresh })).status).toBe(401);
  });

  test('a realm can be down while the registry is up', async () => {
    const { registry, blob } = await start({ kind: 'token', users: USERS, realm: 'other' });
    await using _ = registry;
    const token = await tokenFor(blob('team/app'), basicAuthorization(ALICE));
    await registry.stop('realm');
    await expect(pullBlob(registry.realmUrl)).rejects.toThrow('ECONNREFUSED');
    expect((await pullBlob(blob('team/app'), { authorization: token })).status).toBe(200);
    await registry.start('realm');
    expect((await pullBlob(registry.realmUrl)).status).toBe(200);
  });
});
