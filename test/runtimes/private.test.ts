import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './part.ts';
import { startContainerd } from './containerd.ts';
import { ask, pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import { basic, type Credentials, type PushedImage } from './images.ts';
import { mustSucceed, type Outcome } from './program.ts';
import { startScene, type Scene } from './scene.ts';
import type { TokenIssuer } from './token-issuer.ts';

const ALICE = { user: 'alice', password: 'right' };
const WRONG = { user: 'alice', password: 'wrong' };
const BOB = { user: 'bob', password: 'right' };
const PUBLISHER = { user: 'publisher', password: 'right' };
const LAYERS = [6_000_000, 600_000] as const;

interface Refusal {
  agent: string;
  path: string;
  status: number;
  challenged: boolean;
  leaked: boolean;
}

/** What every agent says to one caller who asks for everything that the image is made of. */
async function askEveryAgent(scene: Scene, pushed: PushedImage, authorization?: string): Promise<Refusal[]> {
  const { amd64, index } = pushed.image;
  const paths = [
    `manifests/${pushed.tag}`,
    `manifests/${index.digest}`,
    ...[amd64.config, ...amd64.layers].map(({ digest }) => `blobs/${digest}`),
  ];
  const answers: Refusal[] = [];
  for (const agent of scene.cluster.agents) {
    for (const path of paths) {
      const answer = await ask(agent.door, path, scene.asked(pushed.repository, authorization));
      const { status, headers, bytes } = answer;
      const challenged = headers['www-authenticate'] !== undefined;
      answers.push({ agent: agent.name, path, status, challenged, leaked: status < 300 && bytes > 0 });
    }
  }
  return answers;
}

/** Answers that are not a plain refusal with a challenge and no content; nothing, when all is well. */
function notRefused(answers: readonly Refusal[]): Refusal[] {
  return answers.filter(({ status, challenged, leaked }) => status !== 401 || !challenged || leaked);
}

/** A pull by a containerd of its own; what it said, and what it has got then. */
async function pullAs(
  scene: Scene,
  pushed: PushedImage,
  agent: Agent,
  who?: Credentials,
): Promise<Outcome & { got: string[] }> {
  const name = `containerd-${agent.name}-${who?.user ?? 'nobody'}-${who?.password ?? ''}-${pushed.repository}`;
  await using containerd = await startContainerd(join(scene.directory, name));
  const hostsDir = await scene.hostsDir(agent);
  const credentials = who === undefined ? {} : { credentials: who };
  const outcome = await containerd.pull(pushed.reference, { hostsDir, ...credentials });
  return { ...outcome, got: [...(await containerd.content()).keys()] };
}

const REFUSED = {
  code: 1,
  stderr: expect.stringMatching(/401|403|unauthorized|authorization failed|denied/i),
  got: [],
};

describe('htpasswd', () => {
  let scene: Scene;
  let pushed: PushedImage;
  beforeAll(async () => {
    scene = await startScene({ auth: { kind: 'htpasswd', ...ALICE }, credentials: ALICE });
    pushed = await scene.push('team/private', LAYERS);
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  test('nobody gets anything before anyone has pulled', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    expect(notRefused(await askEveryAgent(scene, pushed))).toEqual([]);
    expect(notRefused(await askEveryAgent(scene, pushed, basic(WRONG)))).toEqual([]);
  });

  test('containerd with the right password pulls', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    await using containerd = await startContainerd(join(scene.directory, 'containerd'));
    const hostsDir = await scene.hostsDir(scene.agent(0));
    const pulled = await containerd.pull(pushed.reference, { hostsDir, credentials: ALICE });
    mustSucceed(pulled);
    for (const [digest, found] of await containerd.content()) expect(found).toBe(digest);
  });

  test('without a password, or with a wrong one, each agent says 401, also for what it has cached', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    for (const agent of scene.cluster.agents) {
      await pullImage(agent.door, pushed.tag, scene.asked(pushed.repository, basic(ALICE)));
    }
    expect(notRefused(await askEveryAgent(scene, pushed))).toEqual([]);
    expect(notRefused(await askEveryAgent(scene, pushed, basic(WRONG)))).toEqual([]);
    expect(await pullAs(scene, pushed, scene.agent(3))).toMatchObject(REFUSED);
    expect(await pullAs(scene, pushed, scene.agent(3), WRONG)).toMatchObject(REFUSED);
    // Having turned others away must not have turned away who may read.
    await pullImage(scene.agent(3).door, pushed.tag, scene.asked(pushed.repository, basic(ALICE)));
  });

  test('no log line of any part holds a password', () => {
    const logs = scene.cluster.logs();
    expect(logs.length).toBeGreaterThan(0);
    for (const who of [ALICE, WRONG]) {
      expect(logs).not.toContain(basic(who).slice('Basic '.length));
      expect(logs).not.toContain(`${who.user}:${who.password}`);
    }
  });
});

const LIFETIME_SECONDS = 30;
/** docker-registry takes a token for a minute longer than it says. */
const LEEWAY_SECONDS = 60;
const SLOW_SECONDS = 120;
const SLOW_RATE = 100_000;

describe('tokens', () => {
  let scene: Scene;
  let pushed: PushedImage;
  let other: PushedImage;
  beforeAll(async () => {
    const slow = ['slow/alone', 'slow/together'];
    const users = {
      alice: { password: ALICE.password, pull: ['team/private', ...slow] },
      bob: { password: BOB.password, pull: ['team/other'] },
      publisher: {
        password: PUBLISHER.password,
        pull: ['team/private', 'team/other', ...slow],
        push: ['team/private', 'team/other', ...slow],
      },
    };
    scene = await startScene({
      auth: { kind: 'token', issuer: { users, lifetimeSeconds: LIFETIME_SECONDS } },
      credentials: PUBLISHER,
    });
    pushed = await scene.push('team/private', LAYERS);
    other = await scene.push('team/other', [400_000]);
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  function issuer(): TokenIssuer {
    if (scene.issuer === undefined) throw new Error('the scene has no issuer');
    return scene.issuer;
  }

  async function tokenOf(who: Credentials | undefined, repository: string): Promise<string> {
    const { realm, service } = issuer().trust;
    const url = new URL(realm);
    url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const response = await fetch(url, who === undefined ? {} : { headers: { authorization: basic(who) } });
    expect(response.status).toBe(200);
    const { token }: { token: string } = JSON.parse(await response.text());
    return `Bearer ${token}`;
  }

  test('containerd with the right credentials fetches its token from the real realm and pulls', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    await using containerd = await startContainerd(join(scene.directory, 'containerd-token'));
    const hostsDir = await scene.hostsDir(scene.agent(0));
    const pulled = await containerd.pull(pushed.reference, { hostsDir, credentials: ALICE });
    mustSucceed(pulled);
    for (const [digest, found] of await containerd.content()) expect(found).toBe(digest);
  });

  test('with no token, an empty one or one for another repository each agent says 401, also for what it has cached', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const right = await tokenOf(ALICE, pushed.repository);
    for (const agent of scene.cluster.agents) {
      await pullImage(agent.door, pushed.tag, scene.asked(pushed.repository, right));
    }
    expect(notRefused(await askEveryAgent(scene, pushed))).toEqual([]);
    expect(
      notRefused(await askEveryAgent(scene, pushed, await tokenOf(undefined, pushed.repository))),
    ).toEqual([]);
    expect(notRefused(await askEveryAgent(scene, pushed, await tokenOf(BOB, pushed.repository)))).toEqual([]);
    expect(notRefused(await askEveryAgent(scene, pushed, await tokenOf(BOB, other.repository)))).toEqual([]);
    expect(await pullAs(scene, pushed, scene.agent(4), BOB)).toMatchObject(REFUSED);
    expect(await pullAs(scene, pushed, scene.agent(4), WRONG)).toMatchObject(REFUSED);
  });

  test('who may read one repository reads no blob of another by naming it there', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const authorization = await tokenOf(BOB, other.repository);
    for (const agent of scene.cluster.agents) {
      await pullImage(agent.door, other.tag, scene.asked(other.repository, authorization));
      for (const { digest } of pushed.image.layers) {
        const answer = await ask(agent.door, `blobs/${digest}`, scene.asked(other.repository, authorization));
        expect({ agent: agent.name, status: answer.status }).toEqual({ agent: agent.name, status: 404 });
      }
    }
  });

  test('a blob of two minutes arrives whole though tokens live 30 s and the connection breaks after they expired', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const size = SLOW_RATE * SLOW_SECONDS;
    const [alone, together] = [
      await scene.push('slow/alone', [size]),
      await scene.push('slow/together', [size]),
    ];
    const tokensBefore = issuer().issued.length;
    // Two blobs share the link.
    scene.link.rate = 2 * SLOW_RATE;
    const bytesBefore = scene.link.bytes;
    const started = performance.now();
    await using containerd = await startContainerd(join(scene.directory, 'containerd-slow'));
    await using companion = await startContainerd(join(scene.directory, 'containerd-slow-together'));
    await using later = await startContainerd(join(scene.directory, 'containerd-slow-later'));
    const pullSlowly = async (
      runtime: typeof containerd,
      agent: Agent,
      image: PushedImage,
    ): Promise<void> => {
      const hostsDir = await scene.hostsDir(agent);
      const pulled = await runtime.pull(image.reference, {
        hostsDir,
        credentials: ALICE,
        timeoutMs: 280_000,
      });
      mustSucceed(pulled);
      for (const [digest, found] of await runtime.content()) expect(found).toBe(digest);
    };
    await Promise.all([
      pullSlowly(containerd, scene.agent(0), alone),
      pullSlowly(companion, scene.agent(1), together),
      sleep(60_000).then(() => pullSlowly(later, scene.agent(2), together)),
      sleep((LIFETIME_SECONDS + LEEWAY_SECONDS + 8) * 1000).then(() => scene.link.cut()),
    ]);
    scene.link.rate = undefined;
    expect(performance.now() - started).toBeGreaterThan(SLOW_SECONDS * 900);
    // Each blob crossed once, but for what was under way when the link was cut.
    expect(scene.link.bytes - bytesBefore).toBeLessThan(2 * size * 1.1);
    // Somebody had to come back with a fresh token.
    expect(issuer().issued.length).toBeGreaterThan(tokensBefore + 2);
  });

  test('no log line of any part holds a token or a password', () => {
    const logs = scene.cluster.logs();
    expect(logs.length).toBeGreaterThan(0);
    for (const { token } of issuer().issued) expect(logs).not.toContain(token.split('.')[2]);
    for (const who of [ALICE, BOB, WRONG]) expect(logs).not.toContain(basic(who).slice('Basic '.length));
  });
});
