import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import type { Report, Work } from './decoder-worker.ts';
import { DECODERS } from './decoders.ts';
import { Mutation, seededRandom } from './mutation.ts';

const INPUTS = Number(process.env['SHOAL_HOSTILE_INPUTS'] ?? 1_000_000);
/** Given again, it makes the same inputs. */
const SEED = Number(process.env['SHOAL_HOSTILE_SEED'] ?? randomInt(2 ** 31));
const MOST_GROWTH = 64 * 1024 * 1024;
/** No input may take a second; a machine with other work may take that long for anything. */
const HANG_MS = 15_000;

/** Runs a decoder in a thread of its own, so that one that never returns can be told of. */
async function assault(decoder: string): Promise<Report> {
  const progress = new SharedArrayBuffer(4);
  const work: Work = { decoder, inputs: INPUTS, seed: SEED, progress };
  const worker = new Worker(new URL('decoder-worker.ts', import.meta.url), { workerData: work });
  const counter = new Int32Array(progress);
  let [last, since] = [-1, performance.now()];
  const watch = setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now !== last) [last, since] = [now, performance.now()];
    else if (performance.now() - since > HANG_MS) void worker.terminate();
  }, 500);
  try {
    const ended = once(worker, 'exit').then((): Report => {
      return { refused: 0, growthBytes: 0, faults: [`does not come back from input ${last}`] };
    });
    const reported = once(worker, 'message').then(([report]: Report[]) => report);
    return (await Promise.race([reported, ended])) ?? (await ended);
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

describe(`${INPUTS} inputs of seed ${SEED}`, () => {
  test.each(Object.keys(DECODERS))('%s: refused or taken, at once, and forgotten', async (decoder) => {
    const { refused, growthBytes, faults } = await assault(decoder);
    expect(faults).toEqual([]);
    expect(growthBytes).toBeLessThan(MOST_GROWTH);
    // Else the inputs were all alike.
    expect(DECODERS[decoder]?.refusals.length === 0 || refused > 0).toBe(true);
  });
});

test('what a decoder takes is among its samples', () => {
  for (const { decode, samples } of Object.values(DECODERS))
    for (const [at, sample] of samples.entries()) {
      // Where one decoder stands for two, by chance: it takes each sample by one of them.
      const taken = Array.from({ length: 32 }, (_, seed) => {
        try {
          decode(sample, seededRandom(seed * 7919 + at));
          return true;
        } catch {
          return false;
        }
      });
      expect(taken).toContain(true);
    }
});

test('the same seed makes the same inputs', () => {
  const material = { samples: [Buffer.from('a sample of some length')], words: ['word'] };
  const inputs = (seed: number): string[] => {
    const mutation = new Mutation(material, seededRandom(seed));
    return Array.from({ length: 100 }, () => mutation.next().toString('hex'));
  };
  expect(inputs(5)).toEqual(inputs(5));
  expect(inputs(5)).not.toEqual(inputs(6));
  expect(new Set(inputs(5)).size).toBeGreaterThan(60);
});
