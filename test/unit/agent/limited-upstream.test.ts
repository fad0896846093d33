import { expect, test } from 'vitest';
import { LimitedUpstream } from '#agent/limited-upstream.ts';
import { readWhole, type Upstream, type UpstreamRequest } from '#agent/upstream.ts';
import { digestOf } from '#registry/digest.ts';

const signal = new AbortController().signal;
const caller = { registry: 'r.example', repository: 'team/app' };
const digest = digestOf('blob');
const blob: UpstreamRequest = { caller, resource: { kind: 'blob', digest } };

function unused(): never {
  throw new Error('not asked');
}

/** A registry whose bodies have three chunks. */
function start() {
  const passed: [flow: string, bytes: number][] = [];
  const given: number[] = [];
  let closed = 0;
  let gate: Promise<void> = Promise.resolve();
  const body = (): AsyncIterable<Uint8Array> => {
    let next = 0;
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          if (next === 3) return { done: true, value: undefined };
          given.push((next += 1));
          return { done: false, value: Buffer.alloc(10) };
        },
        return: async () => {
          closed += 1;
          return { done: true, value: undefined };
        },
      }),
    };
  };
  const registry: Upstream = {
    head: unused,
    list: unused,
    get: async () => ({ kind: 'ok', told: { status: 200 }, body: body() }),
  };
  const limited = new LimitedUpstream(registry, {
    passDownload: (flow, bytes) => {
      passed.push([flow, bytes]);
      return gate;
    },
  });
  const get = async (request: UpstreamRequest): Promise<AsyncIterable<Uint8Array>> => {
    const answer = await limited.get(request, signal);
    if (answer.kind !== 'ok') throw new Error(answer.kind);
    return answer.body;
  };
  return { get, passed, given, closed: () => closed, hold: (until: Promise<void>) => void (gate = until) };
}

test('every chunk of a blob or manifest waits for its share, a blob always in the same flow', async () => {
  const { get, passed } = start();
  expect(await readWhole(await get(blob), 100)).toHaveLength(30);
  expect(await readWhole(await get({ ...blob, range: { start: 5, end: 9 } }), 100)).toHaveLength(30);
  await readWhole(await get({ caller, resource: { kind: 'manifest', reference: 'v1' } }), 100);
  expect(passed.map(([flow]) => flow)).toEqual([
    ...Array.from({ length: 6 }, () => digest),
    ...Array.from({ length: 3 }, () => 'v1'),
  ]);
  expect(passed.every(([, bytes]) => bytes === 10)).toBe(true);
});

test('while a chunk waits, no other is taken from the registry', async () => {
  const { get, given, hold } = start();
  const gate = Promise.withResolvers<void>();
  hold(gate.promise);
  const read = readWhole(await get(blob), 100);
  await expect.poll(() => given).toEqual([1]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(given).toEqual([1]);
  gate.resolve();
  expect(await read).toHaveLength(30);
});

test('a body that is left before its first chunk is closed', async () => {
  const { get, closed } = start();
  await (await get(blob))[Symbol.asyncIterator]().return?.();
  expect(closed()).toBe(1);
});
