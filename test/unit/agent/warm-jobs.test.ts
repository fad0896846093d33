import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { WarmJobs } from '#agent/warm/warm-jobs.ts';
import type { ImageParts } from '#agent/warm/warm-image.ts';
import { digestOf } from '#registry/digest.ts';

const BLOB = digestOf('blob');
const FOUND: ImageParts = { root: BLOB, digests: [BLOB], blobs: [{ digest: BLOB, size: 4 }] };

/** Jobs whose fetches end when they are told to. */
class Bench {
  now = 0;
  holds = false;
  /** Images that are being fetched, and how each ends. */
  readonly running = new Map<string, PromiseWithResolvers<void>>();
  readonly begun: string[] = [];
  /** Who they are fetched for, in the order of `begun`; undefined: nobody in particular. */
  readonly users: (string | undefined)[] = [];
  readonly jobs = new WarmJobs({
    holds: () => this.holds,
    now: () => this.now,
    random: () => 0,
    fetch: async ({ repository }, credential, onFound, signal) => {
      const end = Promise.withResolvers<void>();
      this.begun.push(repository);
      this.users.push(credential?.kind === 'password' ? credential.username : undefined);
      this.running.set(repository, end);
      signal.addEventListener('abort', () => end.reject(signal.reason), { once: true });
      if (credential || repository !== 'private') onFound(FOUND);
      await end.promise.finally(() => this.running.delete(repository));
    },
  });

  ask(image: string, username?: string) {
    const credential = username && ({ kind: 'password', username, password: 'pw' } as const);
    return this.jobs.ask({ image: `r.example/${image}`, ...(credential && { credential }) });
  }

  /** Time goes by, for timers too. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    await vi.advanceTimersByTimeAsync(ms);
  }
}

let bench: Bench;
beforeEach(() => {
  vi.useFakeTimers();
  bench = new Bench();
});
afterEach(async () => {
  await bench.jobs[Symbol.asyncDispose]();
  vi.useRealTimers();
});

describe('images that preheats ask for', () => {
  test('are fetched two at a time, the others wait for their turn', async () => {
    expect(['a', 'b', 'c'].map((image) => bench.ask(image).state)).toEqual([
      'fetching',
      'fetching',
      'waiting',
    ]);
    bench.running.get('a')!.reject(new Error('the registry is down'));
    await bench.pass(0);
    expect(bench.ask('c').state).toBe('fetching');
    expect(bench.begun).toEqual(['a', 'b', 'c']);
  });

  test('that are evicted as soon as they are there are not fetched over and over', async () => {
    bench.ask('a');
    bench.running.get('a')!.resolve();
    await bench.pass(0);
    for (let time = 0; time < 10; time += 1) expect(bench.ask('a').state).toBe('failed');
    expect(bench.begun).toEqual(['a']);
  });

  test('are given up when nobody asks for them any more, and fetched again when somebody does', async () => {
    bench.ask('a');
    bench.ask('b');
    for (let time = 0; time < 10; time += 1) {
      await bench.pass(10_000);
      bench.ask('a');
    }
    expect([...bench.running.keys()]).toEqual(['a']);
    expect(bench.ask('b').state).toBe('fetching');
  });

  test('that failed are tried again after a wait that doubles', async () => {
    bench.ask('a');
    bench.running.get('a')!.reject(new Error('the registry is down'));
    await bench.pass(0);
    expect(bench.ask('a')).toMatchObject({ state: 'failed', reason: 'the registry is down' });
    await bench.pass(501);
    expect(bench.ask('a').state).toBe('fetching');
    bench.running.get('a')!.reject(new Error('the registry is down'));
    await bench.pass(0);
    await bench.pass(501);
    expect(bench.ask('a').state).toBe('failed');
    await bench.pass(500);
    expect(bench.ask('a').state).toBe('fetching');
  });

  test('are warm while all of them is held, and fetched again when a blob was evicted', async () => {
    bench.ask('a');
    bench.holds = true;
    bench.running.get('a')!.resolve();
    await bench.pass(0);
    expect(bench.ask('a')).toEqual({
      state: 'warm',
      digest: BLOB,
      blobs: { total: 1, held: 1 },
      bytes: { total: 4, held: 4 },
    });
    bench.holds = false;
    expect(bench.ask('a').state).toBe('fetching');
    expect(bench.begun).toEqual(['a', 'a']);
  });

  test('are fetched for each asker with its own credential, and nobody is told of what another may read', async () => {
    bench.ask('private', 'ann');
    await bench.pass(0);
    bench.holds = true;
    bench.running.get('private')!.resolve();
    await bench.pass(0);
    expect(bench.ask('private', 'ann').state).toBe('warm');
    expect(bench.ask('private')).toEqual({ state: 'fetching' });
    expect(bench.users).toEqual(['ann', undefined]);
    bench.running.get('private')!.reject(new Error('the registry refused with 401'));
    await bench.pass(0);
    expect(bench.ask('private').reason).toBe('the registry refused with 401');
    expect(bench.ask('private', 'ann')).toMatchObject({ state: 'warm', digest: BLOB });
  });

  test('by a tag are not fetched a second time when they are asked for by the digest it was resolved to', async () => {
    bench.ask('a:1');
    await bench.pass(0);
    expect(bench.ask(`a:1@${BLOB}`)).toMatchObject({ state: 'fetching', digest: BLOB });
    expect(bench.ask('b').state).toBe('fetching');
    expect(bench.begun).toEqual(['a', 'b']);
    for (let index = 0; index < 254; index += 1) bench.ask(`image-${index}`);
    expect(() => bench.ask('one-more')).toThrow('256 images');
  });

  test('wait out their back-off, also when who asks comes back only after more than a minute', async () => {
    bench.ask('a');
    for (let failures = 0; failures < 8; failures += 1) {
      bench.running.get('a')!.reject(new Error('the registry is down'));
      await bench.pass(0);
      if (failures < 7) await bench.pass(30_001);
      expect(bench.ask('a').state).toBe(failures < 7 ? 'fetching' : 'failed');
    }
    await bench.pass(25_000);
    expect(bench.ask('a').state).toBe('failed');
    await bench.pass(65_000);
    bench.holds = true;
    expect(bench.ask('a')).toMatchObject({ state: 'warm', blobs: { total: 1, held: 1 } });
    expect(bench.begun).toHaveLength(8);
  });

  test('that nobody asks for any more make room for others', async () => {
    for (let index = 0; index < 256; index += 1) bench.ask(`image-${index}`);
    await bench.pass(120_000);
    expect(bench.ask('one-more').state).toBe('fetching');
  });

  test('may be 256 at one time and no more', () => {
    for (let index = 0; index < 256; index += 1) bench.ask(`image-${index}`);
    expect(() => bench.ask('one-more')).toThrow('256 images are asked for already');
    expect(bench.ask('image-7').state).toBe('waiting');
  });
});
