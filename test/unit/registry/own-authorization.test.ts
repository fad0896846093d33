import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Credentials, parseDockerConfig } from '#registry/credentials.ts';
import { digestOf } from '#registry/digest.ts';
import type { Authorization, Target } from '#registry/upstream-answer.ts';
import { type Loopback, patience, serve, upstreamFor } from './loopback.ts';

const blobAt = ({ host }: Loopback, repository = 'org/app'): Target => ({
  registry: host,
  repository,
  kind: 'blob',
  reference: digestOf('x'),
});
const base64 = (text: string): string => Buffer.from(text).toString('base64');

function credentialsFor({ host }: Loopback, entry: object): Credentials {
  return parseDockerConfig(JSON.stringify({ auths: { [host]: entry } }));
}

interface TokenRegistry {
  readonly registry: Loopback;
  readonly realm: Loopback;
  /** Tokens that the registry takes; the realm adds each that it gives. */
  readonly valid: Set<string>;
  readonly bodies: string[];
}

/** A registry with a token realm, as docker's registry and its authorization server are. */
async function tokenRegistry(
  answer: (count: number) => { status?: number; body: object },
): Promise<TokenRegistry> {
  const valid = new Set<string>();
  const bodies: string[] = [];
  const realm = await serve((request, response, count) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      bodies.push(body);
      const { status = 200, body: told } = answer(count);
      for (const value of Object.values(told)) valid.add(`Bearer ${String(value)}`);
      response.writeHead(status).end(JSON.stringify(told));
    });
  });
  const registry = await serve((request, response) => {
    const repository = /^\/v2\/(?<name>.+)\/blobs\//u.exec(request.url ?? '')?.groups?.['name'];
    const challenge = `Bearer realm="http://${realm.host}/token?a=b",service="reg",scope="repository:${repository}:pull"`;
    if (valid.has(request.headers.authorization ?? '')) response.end();
    else response.writeHead(401, { 'www-authenticate': challenge }).end();
  });
  return { registry, realm, valid, bodies };
}

describe('a registry that asks for a token', () => {
  test('gets one from its realm, and the next request has it from the start', async () => {
    const { registry, realm } = await tokenRegistry((count) => ({
      body: { token: `t${count}`, expires_in: 300 },
    }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const auth: Authorization = {
      kind: 'own',
      credentials: credentialsFor(registry, { auth: base64('me:pw') }),
    };
    expect(await upstream.head(blobAt(registry), auth, patience())).toMatchObject({ ok: true });
    expect(await upstream.head(blobAt(registry), auth, patience())).toMatchObject({ ok: true });
    expect(realm.requests.map(({ url }) => url)).toEqual([
      '/token?a=b&service=reg&scope=repository%3Aorg%2Fapp%3Apull&account=me',
    ]);
    expect(realm.requests[0]?.headers.authorization).toBe(`Basic ${base64('me:pw')}`);
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer t1',
      'Bearer t1',
    ]);
  });

  test('gets another token for another repository and for another caller, never a mixed-up one', async () => {
    const { registry, realm } = await tokenRegistry((count) => ({ body: { access_token: `t${count}` } }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const me: Authorization = {
      kind: 'own',
      credentials: credentialsFor(registry, { auth: base64('me:pw') }),
    };
    await upstream.head(blobAt(registry), me, patience());
    await upstream.head(blobAt(registry, 'org/other'), me, patience());
    await upstream.head(blobAt(registry), { kind: 'own' }, patience());
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer t1',
      'Bearer t2',
      'Bearer t3',
    ]);
    expect(realm.requests[2]?.headers.authorization).toBeUndefined();
  });

  test('gets a fresh token when the old one expires by the clock or is no longer taken', async () => {
    let now = 0;
    const { registry, realm, valid } = await tokenRegistry((count) => ({
      body: { token: `t${count}`, expires_in: 100 },
    }));
    const upstream = upstreamFor({ plain: [registry, realm], now: () => now });
    await upstream.head(blobAt(registry), { kind: 'own' }, patience());
    now = 95_000;
    await upstream.head(blobAt(registry), { kind: 'own' }, patience());
    expect(realm.requests).toHaveLength(2);
    valid.clear();
    expect(await upstream.head(blobAt(registry), { kind: 'own' }, patience())).toMatchObject({ ok: true });
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer t1',
      'Bearer t2',
      'Bearer t2',
      'Bearer t3',
    ]);
  });

  test('gets one token for many requests at once', async () => {
    const { registry, realm } = await tokenRegistry((count) => ({ body: { token: `t${count}` } }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const asked = Array.from({ length: 20 }, () =>
      upstream.head(blobAt(registry), { kind: 'own' }, patience()),
    );
    expect((await Promise.all(asked)).every(({ ok }) => ok)).toBe(true);
    expect(realm.requests).toHaveLength(1);
  });

  test('gets one by POST for an identity token', async () => {
    const { registry, realm, bodies } = await tokenRegistry(() => ({ body: { access_token: 'abc' } }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const credentials = credentialsFor(registry, { identitytoken: 'refresh&me' });
    expect(await upstream.head(blobAt(registry), { kind: 'own', credentials }, patience())).toMatchObject({
      ok: true,
    });
    expect(realm.requests[0]?.method).toBe('POST');
    expect(Object.fromEntries(new URLSearchParams(bodies[0]))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh&me',
      client_id: 'shoal',
      service: 'reg',
      scope: 'repository:org/app:pull',
    });
  });

  test('keeps at most as many tokens as it may', async () => {
    const { registry, realm } = await tokenRegistry((count) => ({ body: { token: `t${count}` } }));
    const upstream = upstreamFor({ plain: [registry, realm], tokenCacheEntries: 2 });
    for (const name of ['a', 'b', 'c', 'a'])
      await upstream.head(blobAt(registry, name), { kind: 'own' }, patience());
    expect(realm.requests).toHaveLength(4);
  });

  test.each([401, 403])('whose realm answers %i refuses as it did', async (status) => {
    const { registry, realm } = await tokenRegistry(() => ({ status, body: {} }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const result = await upstream.head(blobAt(registry), { kind: 'own' }, patience());
    expect(result).toMatchObject({ kind: 'refused', status: 401 });
  });

  test.each([
    ['down', 503, {}, 'answered 503'],
    ['without a token', 200, { token: '' }, 'no token'],
    ['with a token that splits headers', 200, { token: 'a\r\nx: y' }, 'no token'],
    ['talking without end', 200, { token: 'x'.repeat(70_000) }, 'too much'],
  ])('whose realm is %s is unreachable', async (_, status, body, told) => {
    const { registry, realm } = await tokenRegistry(() => ({ status, body }));
    const upstream = upstreamFor({ plain: [registry, realm] });
    const result = await upstream.head(blobAt(registry), { kind: 'own' }, patience());
    expect(result).toMatchObject({ kind: 'unreachable', cause: { message: expect.stringContaining(told) } });
    expect(inspect(result, { depth: 9 })).not.toContain('xxxx');
  });

  test('whose realm is plain HTTP and not named gets no credential there', async () => {
    const { registry, realm } = await tokenRegistry(() => ({ body: { token: 't' } }));
    const upstream = upstreamFor({ plain: [registry] });
    const credentials = credentialsFor(registry, { auth: base64('me:pw') });
    const result = await upstream.head(blobAt(registry), { kind: 'own', credentials }, patience());
    expect(result).toMatchObject({
      kind: 'unreachable',
      cause: { message: expect.stringContaining('plain HTTP') },
    });
    expect(realm.requests).toHaveLength(0);
  });
});

describe('a registry that asks for Basic', () => {
  const basicRegistry = async (): Promise<Loopback> =>
    serve((request, response) => {
      if (request.headers.authorization === `Basic ${base64('me:pw')}`) response.end();
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    });

  test('gets name and password, the second time unasked', async () => {
    const registry = await basicRegistry();
    const upstream = upstreamFor({ plain: [registry] });
    const auth: Authorization = {
      kind: 'own',
      credentials: credentialsFor(registry, { auth: base64('me:pw') }),
    };
    await upstream.head(blobAt(registry), auth, patience());
    expect(await upstream.head(blobAt(registry), auth, patience())).toMatchObject({ ok: true });
    expect(registry.requests).toHaveLength(3);
  });

  test.each([{ auth: base64('me:wrong') }, {}])('refuses others, after one try (%#)', async (entry) => {
    const registry = await basicRegistry();
    const upstream = upstreamFor({ plain: [registry] });
    const auth: Authorization = { kind: 'own', credentials: credentialsFor(registry, entry) };
    expect(await upstream.head(blobAt(registry), auth, patience())).toMatchObject({
      kind: 'refused',
      status: 401,
    });
    expect(registry.requests.length).toBeLessThanOrEqual(2);
  });
});
