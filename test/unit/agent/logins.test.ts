import { describe, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';
import { type AgentFixture, type AgentFixtureOptions, startAgentFixture } from './agent-fixture.ts';

const ALICE = { name: 'alice', password: 'sesame', repositories: ['team/app'] };
const BLOB = deterministicBytes('logins', 5000);
const REPOSITORY = 'team/app';

const KINDS = ['basic', 'token'] as const;

/** What docker, podman and skopeo do: a challenge from `/v2/`, a token from where it leads, the path with the registry in it. */
class Client {
  readonly #door: string;
  readonly #basic: string | undefined;

  constructor({ agent }: AgentFixture, user?: { name: string; password: string }) {
    this.#door = `http://${agent.address}`;
    this.#basic = user && `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`;
  }

  async token(name?: string): Promise<string> {
    const base = await pullBlob(`${this.#door}/v2/`);
    const realm = /^bearer realm="(?<url>[^"]+)",service="shoal"$/iu.exec(
      String(base.headers['www-authenticate']),
    )?.groups?.['url'];
    const url = new URL(realm ?? '');
    if (base.status !== 401 || url.origin !== this.#door) throw new Error(`no challenge: ${base.status}`);
    if (name !== undefined) url.searchParams.set('scope', `repository:${name}:pull`);
    const answer = await pullBlob(url, { authorization: this.#basic });
    if (answer.status !== 200) throw new Error(`no token: ${answer.status}`);
    const { token }: { token: string } = JSON.parse(answer.head.toString());
    return `Bearer ${token}`;
  }

  async get(name: string, what: string): ReturnType<typeof pullBlob> {
    return this.ask(name, what, await this.token(name));
  }

  ask(name: string, what: string, authorization: string): ReturnType<typeof pullBlob> {
    return pullBlob(`${this.#door}/v2/${name}/${what}`, { authorization });
  }
}

async function start(
  kind: (typeof KINDS)[number],
  options: Partial<AgentFixtureOptions> & { anonymous?: readonly string[]; logins?: readonly string[] } = {},
) {
  await using starting = new AsyncDisposableStack();
  const { anonymous = [], logins, ...others } = options;
  const auth = { kind, users: [ALICE], anonymous };
  const upstream = starting.use(await UpstreamRegistry.start({ auth }));
  const digest = upstream.content.addBlob(REPOSITORY, BLOB);
  upstream.content.addBlob('team/public', BLOB);
  const agent = starting.use(
    await startAgentFixture({ registries: [upstream], logins: logins ?? [upstream.host], ...others }),
  );
  const all = starting.move();
  const name = (repository: string): string => `${upstream.host}/${repository}`;
  return {
    upstream,
    agent,
    digest,
    name,
    blob: `blobs/${digest}`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

describe.each(KINDS)('a client that takes challenges from /v2/ alone, before a registry with %s', (kind) => {
  test('pulls what its own name and password may read, also once it is cached', async () => {
    await using scene = await start(kind);
    const { agent, name, blob } = scene;
    for (const round of ['cold', 'cached']) {
      const pulled = await new Client(agent, ALICE).get(name(REPOSITORY), blob);
      expect({ round, ...pulled }).toMatchObject({ round, status: 200, sha256: sha256Hex(BLOB) });
      await agent.stored(1);
    }
    expect(await agent.metric('door_tokens_total', { kind: 'login' })).toBe(2);
  });

  test('gets nothing with a wrong password or none, cached or not, and is sent back to the door', async () => {
    await using scene = await start(kind);
    const { agent, upstream, name, blob } = scene;
    const wrong = new Client(agent, { ...ALICE, password: 'wrong' });
    for (const round of ['cold', 'cached']) {
      for (const client of [new Client(agent), wrong]) {
        const refused = await client.get(name(REPOSITORY), blob);
        expect({ round, ...refused }).toMatchObject({ round, status: 401 });
        expect(JSON.parse(refused.head.toString()).errors[0].code).toBe('UNAUTHORIZED');
        const challenge = String(refused.headers['www-authenticate']);
        expect(challenge).toContain(`realm="http://${agent.agent.address}/shoal/v1/token"`);
        expect(challenge).toContain(`scope="repository:${upstream.host}/${REPOSITORY}:pull"`);
      }
      await new Client(agent, ALICE).get(name(REPOSITORY), blob);
      await agent.stored(1);
    }
    expect(await agent.metric('private_direct_total')).toBe(2);
  });

  test('pulls a public image without a name, and needs no request upstream for /v2/ and the token', async () => {
    await using scene = await start(kind, { anonymous: ['team/public'] });
    const { agent, upstream, name, blob } = scene;
    const client = new Client(agent);
    const token = await client.token(name('team/public'));
    expect(upstream.log.entries).toEqual([]);
    expect(await client.ask(name('team/public'), blob, token)).toMatchObject({
      status: 200,
      sha256: sha256Hex(BLOB),
    });
  });

  test("a token opens the repository that it was asked for and no other of the same user's", async () => {
    await using scene = await start(kind);
    const { agent, name, blob } = scene;
    const client = new Client(agent, ALICE);
    const token = await client.token(name('team/public'));
    expect(await client.ask(name(REPOSITORY), blob, token)).toMatchObject({ status: 401 });
  });

  test('a password goes to no registry that the operator has not named', async () => {
    await using scene = await start(kind, { logins: ['other.example'] });
    const { agent, upstream, name, blob } = scene;
    expect(await new Client(agent, ALICE).get(name(REPOSITORY), blob)).toMatchObject({ status: 401 });
    const sent = upstream.log.entries.filter(({ authorization }) => authorization === 'basic');
    expect(sent).toEqual([]);
    expect(await agent.metric('door_tokens_total', { kind: 'withheld' })).toBe(1);
  });

  test('no log line and no metric holds its password or its token', async () => {
    await using scene = await start(kind);
    const { agent, name, blob } = scene;
    const client = new Client(agent, ALICE);
    const token = await client.token(name(REPOSITORY));
    await client.ask(name(REPOSITORY), blob, token);
    await client.ask(name(REPOSITORY), 'manifests/absent', token);
    const told = JSON.stringify(agent.log) + (await agent.metrics.expose()).text;
    for (const secret of [ALICE.password, Buffer.from('alice:sesame').toString('base64'), token.slice(7)])
      expect(told).not.toContain(secret);
  });
});

test("a token that the door does not know never reaches a registry: it is refused with the door's challenge", async () => {
  await using scene = await start('token');
  const { agent, upstream, name, blob } = scene;
  for (const scheme of ['Bearer', 'bearer', 'BEARER ']) {
    const refused = await new Client(agent).ask(name(REPOSITORY), blob, `${scheme} shoal.${'A'.repeat(43)}`);
    expect(refused).toMatchObject({ status: 401 });
    expect(refused.headers['www-authenticate']).toContain('error="invalid_token"');
  }
  expect(upstream.log.entries).toEqual([]);
});

test('a login without an image succeeds, and opens nothing', async () => {
  await using scene = await start('basic');
  const { agent, name, blob } = scene;
  const client = new Client(agent, ALICE);
  const token = await client.token();
  expect(await pullBlob(`http://${agent.agent.address}/v2/`, { authorization: token })).toMatchObject({
    status: 200,
  });
  expect(await client.ask(name(REPOSITORY), blob, token)).toMatchObject({ status: 401 });
});

test('a name without a registry in a scope is of docker.io, whatever else the client is logged in to', async () => {
  await using scene = await start('basic');
  const { agent } = scene;
  await new Client(agent, ALICE).token('team/app');
  expect(await agent.metric('door_tokens_total', { kind: 'withheld' })).toBe(1);
});

test.each([
  ['scope=repository:UPPER:pull', 'Basic YTpi', 400, 'NAME_INVALID'],
  [`scope=${'x '.repeat(17)}x`, 'Basic YTpi', 400, 'DENIED'],
  ['scope=repository:a/b:pull', 'Basic ????', 401, 'UNAUTHORIZED'],
  ['scope=repository:a/b:pull', 'Bearer x', 401, 'UNAUTHORIZED'],
])('the token endpoint takes no %s with %s', async (query, authorization, status, code) => {
  await using scene = await start('basic');
  const url = `http://${scene.agent.agent.address}/shoal/v1/token?${query}`;
  const answer = await pullBlob(url, { authorization });
  expect(answer.status).toBe(status);
  expect(JSON.parse(answer.head.toString()).errors[0].code).toBe(code);
});

test("containerd's way is as it was: the registry's own challenge, its own realm", async () => {
  await using scene = await start('token');
  const refused = await scene.agent.get(scene.upstream, `${REPOSITORY}/${scene.blob}`);
  expect(refused).toMatchObject({ status: 401 });
  expect(refused.headers['www-authenticate']).toMatch(/^Bearer realm="http[^"]*\/token",service="upstream"/u);
});
