import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../demo/upstream-registry.ts';
import { pullImage } from '../runtimes/door.ts';
import { keepLogsOnFailure } from '../runtimes/failure-logs.ts';
import { basic, type PushedImage } from '../runtimes/images.ts';
import { REGISTRY_ADDRESS, startScene, type Scene } from '../runtimes/scene.ts';
import {
  ALICE,
  type Caller,
  type CallerKind,
  CALLERS,
  makeCallers,
  REPOSITORY,
  TENANCIES,
} from './callers.ts';
import { leakedSamples } from './leak.ts';
import { type Cell, Matrix } from './matrix.ts';
import { type Asking, EVIL, OTHER, type Way, WAYS } from './ways.ts';

/** What the cluster has of the content when it is asked for. */
const STATES = ['cold', 'downloading', 'cached', 'neighbour'] as const;
type State = (typeof STATES)[number];

/** One layer for each way that is open to who may read: what one of them has fetched is cold no more. */
const LAYERS = WAYS.filter(({ opens }) => opens !== undefined).map((_, at) => 300_000 + at);
const SLOW_LAYER = 6_000_000;
const SLOW_RATE = 400_000;
/** In the tests: how long a revoked credential may go on reading. */
const VERDICT_LIFETIME = '500ms';

describe.each(TENANCIES)('before a registry with $name', (tenancy) => {
  const matrix = new Matrix();
  const images = new Map<State, PushedImage>();
  let evil: UpstreamRegistry;
  let other: UpstreamRegistry;
  let scene: Scene;
  let callers: Map<CallerKind, Caller>;
  let download: Promise<unknown> | undefined;

  beforeAll(async () => {
    [evil, other] = await Promise.all([UpstreamRegistry.start(), UpstreamRegistry.start()]);
    const upstreams = {
      [EVIL]: { endpoint: evil.url, plainHttp: true },
      [OTHER]: { endpoint: other.url, plainHttp: true },
    };
    const agent = { rights: { verdictLifetime: VERDICT_LIFETIME } };
    scene = await startScene({
      ...tenancy.scene,
      credentials: ALICE,
      cluster: { agents: 2, origins: 1, logins: [REGISTRY_ADDRESS], upstreams, agent },
    });
    for (const state of STATES)
      images.set(state, await scene.push(REPOSITORY, state === 'downloading' ? [SLOW_LAYER] : LAYERS, state));
    callers = await makeCallers(tenancy, scene, [...images.values()]);
    await pullBy(0, 'cached');
    await pullBy(1, 'neighbour');
  });
  afterAll(async () => {
    console.log(`\n${tenancy.name}\n${matrix.toString()}\n`);
    scene.link.rate = undefined;
    await download;
    await scene?.[Symbol.asyncDispose]();
    await Promise.all([evil, other].map((registry) => registry?.[Symbol.asyncDispose]()));
  });

  function imageOf(state: State): PushedImage {
    const image = images.get(state);
    if (image === undefined) throw new Error(`no image is ${state}`);
    return image;
  }

  async function pullBy(agent: number, state: State): Promise<unknown> {
    const authorization = await tenancy.authorization(scene, ALICE, REPOSITORY);
    return pullImage(scene.agent(agent).door, state, scene.asked(REPOSITORY, authorization));
  }

  async function askingFor(state: State, caller: Caller, way: Way): Promise<Asking> {
    const { image, tag } = imageOf(state);
    const mine = image.layers[1 + (state === 'downloading' ? 0 : WAYS.indexOf(way))] ?? image.layers[1];
    if (mine === undefined) throw new Error('the image has no layer');
    const [index, layer] = await Promise.all(
      [image.index, mine].map(async ({ digest, path }) => ({ digest, bytes: await readFile(path) })),
    );
    return { scene, evil, agent: scene.agent(0), caller, tag, index: index!, layer: layer! };
  }

  async function judge(state: State, caller: Caller, way: Way): Promise<Cell> {
    const asking = await askingFor(state, caller, way);
    const answer = await way.ask(asking);
    if (caller.kind === 'right' && way.opens !== undefined)
      return answer.equals(way.opens(asking)) ? 'read' : 'missing';
    const leaked = [asking.index, asking.layer].some(({ bytes }) => leakedSamples(answer, bytes) > 0);
    return leaked ? 'leak' : 'nothing';
  }

  describe.each(STATES)('%s', (state) => {
    let isThere = false;
    beforeAll(() => {
      if (state !== 'downloading') return;
      scene.link.rate = SLOW_RATE;
      download = pullBy(0, state).then(() => (isThere = true));
    });

    test.each(CALLERS)('%s', async (kind) => {
      keepLogsOnFailure(scene.cluster, scene.registry);
      const caller = callers.get(kind);
      if (caller === undefined) throw new Error(`there is no caller ${kind}`);
      expect(isThere).toBe(false);
      // Who may read is not to wait for it.
      if (kind === 'right') scene.link.rate = undefined;
      const row = `${state}, ${kind}`;
      for (const way of WAYS) matrix.set(row, way.name, await judge(state, caller, way));
      expect(matrix.faults(row)).toEqual([]);
    });
  });

  test('no log line of any part holds a password or a token', () => {
    const logs = scene.cluster.logs();
    expect(logs).not.toBe('');
    const secrets = [...callers.values()].flatMap(({ authorization, credentials }) => [
      authorization?.slice(-40),
      credentials && basic(credentials).slice('Basic '.length),
    ]);
    for (const secret of secrets.filter((text) => text !== undefined)) expect(logs).not.toContain(secret);
  });
});

test('the matrix sees a leak, and content that is withheld from who may read it', () => {
  const matrix = new Matrix();
  matrix.set('cold, none', 'blob', 'leak');
  matrix.set('cold, right', 'blob', 'missing');
  matrix.set('cold, right', 'tag', 'read');
  expect(matrix.faults('cold, none')).toEqual(['cold, none, blob: leak']);
  expect(matrix.faults('cold, right')).toEqual(['cold, right, blob: missing']);
  expect(matrix.toString()).toBe(
    ['             blob  tag', 'cold, none   LEAK  ·', 'cold, right  MISSING  read'].join('\n'),
  );
  const secret = Buffer.from('a secret of two dozen bytes and a few more');
  expect(leakedSamples(Buffer.concat([Buffer.alloc(48), secret]), secret)).toBeGreaterThan(0);
  expect(leakedSamples(Buffer.alloc(4800, 'no secret '), secret)).toBe(0);
});
