import { describe, expect, test } from 'vitest';
import { type Question, type Verdict, Verdicts } from '#agent/rights/verdicts.ts';
import type { Caller, HeadAnswer, UpstreamRequest } from '#agent/upstream.ts';
import { parseDigest } from '#registry/digest.ts';

const ANN: Caller = { registry: 'r.io', repository: 'app', authorization: 'Bearer ann' };
const NOBODY: Caller = { registry: 'r.io', repository: 'app' };
const OK: HeadAnswer = { kind: 'ok', told: { status: 200, size: 5 } };
const DOWN: HeadAnswer = { kind: 'unreachable', cause: new Error('refused') };
const SIGNAL = new AbortController().signal;

function refused(status: number): HeadAnswer {
  return { kind: 'refused', refusal: { status, challenges: ['Basic'], body: '{}' } };
}

function blob(name: string): Question {
  return { resource: { kind: 'blob', digest: parseDigest(`sha256:${name.repeat(64)}`) } };
}

/** Verdicts before a registry that a test scripts; time stands still until it is moved. */
class Scene {
  now = 1_000_000;
  heads: UpstreamRequest[] = [];
  signals: AbortSignal[] = [];
  counted: Verdict['outcome'][] = [];
  anonymousSince: number | undefined;
  answer: (request: UpstreamRequest) => HeadAnswer | Promise<HeadAnswer> = () => OK;
  readonly verdicts: Verdicts;

  constructor(options = {}) {
    this.verdicts = new Verdicts(
      {
        upstream: {
          head: async (request, signal) => {
            this.heads.push(request);
            this.signals.push(signal);
            return this.answer(request);
          },
        },
        anonymous: async () => this.anonymousSince,
        now: () => this.now,
        onVerdict: ({ outcome }) => this.counted.push(outcome),
      },
      { verdictLifetimeMs: 60_000, staleAuthMs: 3_600_000, maxVerdicts: 100, ...options },
    );
  }

  async check(caller: Caller, question: Question = blob('a')): Promise<Verdict> {
    return this.verdicts.check(caller, question, SIGNAL);
  }
}

/** The repository was served to anyone, then refused the caller, and now the registry is gone. */
async function startRefused(caller: Caller, status: number): Promise<Scene> {
  const scene = new Scene({ verdictLifetimeMs: 0 });
  scene.anonymousSince = scene.now - 1000;
  scene.answer = () => refused(status);
  await scene.check(caller);
  scene.answer = () => DOWN;
  return scene;
}

describe('a yes', () => {
  test('holds for the same credential and repository, for its life', async () => {
    const scene = new Scene();
    expect(await scene.check(ANN)).toEqual({
      outcome: 'positive',
      by: 'upstream',
      told: { status: 200, size: 5 },
    });
    expect(await scene.check(ANN, blob('b'))).toEqual({ outcome: 'positive', by: 'cache' });
    scene.now += 60_000;
    expect(await scene.check(ANN, blob('b'))).toMatchObject({ by: 'upstream' });
    expect(scene.heads).toHaveLength(2);
  });

  test.each<[string, Caller]>([
    ['another credential', { ...ANN, authorization: 'Bearer bob' }],
    ['no credential', NOBODY],
    ['another repository', { ...ANN, repository: 'other' }],
    ['another registry', { ...ANN, registry: 's.io' }],
    [
      'fields that run together alike',
      { registry: 'r.io', repository: 'p', authorization: 'Bearer ann\0r.io\0ap' },
    ],
  ])('says nothing about %s', async (_what, caller) => {
    const scene = new Scene();
    await scene.check(ANN);
    scene.answer = () => refused(401);
    expect(await scene.check(caller)).toMatchObject({ outcome: 'refused' });
  });

  test('is forgotten for the one that was used longest ago', async () => {
    const scene = new Scene({ maxVerdicts: 2 });
    const callers: Caller[] = [
      { ...ANN, repository: 'x' },
      { ...ANN, repository: 'y' },
      { ...ANN, repository: 'z' },
    ];
    for (const caller of callers) await scene.check(caller);
    expect(callers.map((caller) => scene.verdicts.isFresh(caller))).toEqual([false, true, true]);
  });

  test('is not taken where upstream’s own answer is needed', async () => {
    const scene = new Scene();
    await scene.check(ANN);
    expect(await scene.check(ANN, { ...blob('a'), always: true })).toMatchObject({ by: 'upstream' });
  });
});

describe('a no', () => {
  test.each([401, 403, 404])('%i ends an earlier yes for good', async (status) => {
    const scene = new Scene({ verdictLifetimeMs: 0 });
    await scene.check(ANN);
    scene.answer = () => refused(status);
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'refused', refusal: { status } });
    scene.answer = () => DOWN;
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'unreachable' });
  });

  test('to a caller without credentials is remembered for a moment, since each request comes without first', async () => {
    const scene = new Scene();
    scene.answer = () => refused(401);
    await scene.check(NOBODY);
    expect(await scene.check(NOBODY, blob('b'))).toMatchObject({
      outcome: 'refused',
      refusal: { challenges: ['Basic'] },
    });
    expect(scene.heads).toHaveLength(1);
    scene.now += 10_000;
    await scene.check(NOBODY);
    expect(scene.heads).toHaveLength(2);
  });

  test('to a credential is not remembered: it may be a fresh token the next time', async () => {
    const scene = new Scene();
    scene.answer = () => refused(401);
    await scene.check(ANN);
    await scene.check(ANN);
    expect(scene.heads).toHaveLength(2);
  });
});

describe('callers that come together', () => {
  test('share one question to upstream', async () => {
    const scene = new Scene();
    const gate = Promise.withResolvers<HeadAnswer>();
    scene.answer = () => gate.promise;
    const checks = ['a', 'b', 'c'].map((name) => scene.check(ANN, blob(name)));
    gate.resolve(OK);
    expect((await Promise.all(checks)).map(({ outcome }) => outcome)).toEqual([
      'positive',
      'positive',
      'positive',
    ]);
    expect(scene.heads).toHaveLength(1);
  });

  test('do not share a 404, which may be the other blob’s alone', async () => {
    const scene = new Scene();
    scene.answer = ({ resource }) =>
      resource.kind === 'blob' && resource.digest.includes('aa') ? refused(404) : OK;
    const [first, second] = await Promise.all([scene.check(ANN, blob('a')), scene.check(ANN, blob('b'))]);
    expect(first).toMatchObject({ outcome: 'refused' });
    expect(second).toMatchObject({ outcome: 'positive', by: 'upstream' });
  });

  test('with different credentials each need their own', async () => {
    const scene = new Scene();
    scene.answer = ({ caller }) => (caller.authorization === 'Bearer ann' ? OK : refused(403));
    const [ann, bob] = await Promise.all([
      scene.check(ANN),
      scene.check({ ...ANN, authorization: 'Bearer bob' }),
    ]);
    expect(ann.outcome).toBe('positive');
    expect(bob.outcome).toBe('refused');
  });

  test('that leave do not stop the question for those who stay; with the last it is stopped', async () => {
    const scene = new Scene();
    const gate = Promise.withResolvers<HeadAnswer>();
    scene.answer = () => gate.promise;
    const leaving = new AbortController();
    const first = scene.verdicts.check(ANN, blob('a'), leaving.signal);
    const staying = new AbortController();
    const second = scene.verdicts.check(ANN, blob('a'), staying.signal);
    leaving.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    expect(scene.signals[0]?.aborted).toBe(false);
    staying.abort(new Error('gone too'));
    await expect(second).rejects.toThrow('gone too');
    expect(scene.signals[0]?.aborted).toBe(true);
  });
});

describe('while upstream is unreachable', () => {
  test('an earlier yes stands in, up to staleAuth', async () => {
    const scene = new Scene();
    await scene.check(ANN);
    scene.answer = () => DOWN;
    scene.now += 3_599_999;
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'positive', by: 'stale' });
    expect(await scene.check({ ...ANN, authorization: 'Bearer bob' })).toMatchObject({
      outcome: 'unreachable',
    });
    scene.now += 1;
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'unreachable' });
  });

  test('a repository that was served to anyone stays readable to anyone', async () => {
    const scene = new Scene();
    scene.answer = () => DOWN;
    scene.anonymousSince = scene.now - 1000;
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'positive', by: 'stale' });
    scene.anonymousSince = scene.now - 3_600_000;
    expect(await scene.check({ ...ANN, repository: 'other' })).toMatchObject({ outcome: 'unreachable' });
  });

  test('a missing tag says nothing of the repository', async () => {
    const scene = await startRefused(NOBODY, 404);
    expect(await scene.check(NOBODY)).toMatchObject({ outcome: 'positive', by: 'stale' });
  });

  test.each([401, 403])(
    'a repository that gave a %i since it was served to anyone is not readable any more',
    async (status) => {
      const scene = await startRefused(NOBODY, status);
      expect((await scene.check(NOBODY)).outcome).not.toBe('positive');
      expect(await scene.check(ANN)).toMatchObject({ outcome: 'unreachable' });
      scene.anonymousSince = scene.now + 1;
      expect(await scene.check(ANN)).toMatchObject({ outcome: 'positive', by: 'stale' });
    },
  );

  test('who was refused since does not read what anyone could', async () => {
    const scene = await startRefused(ANN, 401);
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'unreachable' });
    expect(await scene.check(NOBODY)).toMatchObject({ outcome: 'positive', by: 'stale' });
  });

  test('a registry that sends everybody for a token first says nothing by that, for an hour', async () => {
    const scene = new Scene({ verdictLifetimeMs: 0, staleAuthMs: 86_400_000 });
    scene.answer = () => ({
      kind: 'refused',
      refusal: { status: 401, challenges: ['Bearer realm="r"'], body: '' },
    });
    const askedAt = scene.now;
    await scene.check(NOBODY);
    scene.answer = () => DOWN;
    scene.now += 10_000;
    scene.anonymousSince = askedAt - 3_599_999;
    expect(await scene.check(NOBODY)).toMatchObject({ outcome: 'positive', by: 'stale' });
    scene.anonymousSince = askedAt - 3_600_000;
    expect((await scene.check(NOBODY)).outcome).toBe('refused');
  });

  test('who sends no credential unasked is asked for it as before, and reads by an earlier yes', async () => {
    const scene = new Scene({ verdictLifetimeMs: 0 });
    scene.answer = ({ caller }) => (caller.authorization === undefined ? refused(401) : OK);
    await scene.check(NOBODY);
    await scene.check(ANN);
    scene.answer = () => DOWN;
    scene.now += 3_000_000;
    for (let time = 0; time < 2; time += 1)
      expect(await scene.check(NOBODY)).toMatchObject({
        outcome: 'refused',
        refusal: { status: 401, challenges: ['Basic'] },
      });
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'positive', by: 'stale' });
    expect(await scene.check({ ...NOBODY, repository: 'other' })).toMatchObject({ outcome: 'unreachable' });
  });

  test('nobody with an earlier yes waits for the time-out again', async () => {
    const scene = new Scene({ verdictLifetimeMs: 0 });
    await scene.check(ANN);
    scene.answer = () => DOWN;
    await scene.check(ANN);
    await scene.check(ANN);
    expect(scene.heads).toHaveLength(2);
    scene.now += 5_000;
    await scene.check(ANN);
    expect(scene.heads).toHaveLength(3);
  });

  test('an answer that breaks the protocol is no outage: nothing stands in', async () => {
    const scene = new Scene({ verdictLifetimeMs: 0 });
    await scene.check(ANN);
    scene.answer = () => ({ kind: 'broken', cause: new Error('nonsense') });
    expect(await scene.check(ANN)).toMatchObject({ outcome: 'unreachable' });
  });

  test('a rate limit is no outage either', async () => {
    const scene = new Scene({ verdictLifetimeMs: 0 });
    await scene.check(ANN);
    scene.answer = () => ({ kind: 'throttled', retryAfter: '7' });
    expect(await scene.check(ANN)).toEqual({ outcome: 'throttled', retryAfter: '7' });
    expect(scene.counted).toEqual(['positive', 'throttled']);
  });
});
