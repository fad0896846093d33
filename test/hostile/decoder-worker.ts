import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { DECODERS } from './decoders.ts';
import { Mutation, seededRandom } from './mutation.ts';

/** What one worker is to do. */
export interface Work {
  readonly decoder: string;
  readonly inputs: number;
  readonly seed: number;
  /** Where it stands: the number of the input being decoded, for who watches. */
  readonly progress: SharedArrayBuffer;
}

/** How a decoder fared. */
export interface Report {
  readonly refused: number;
  readonly growthBytes: number;
  /** What it should not have done; with the input, as base64. */
  readonly faults: readonly string[];
}

const SLOW_MS = 1000;
const MOST_FAULTS = 5;
/** Inputs after which memory is as it should stay. */
const WARM_UP = 0.1;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Decodes one input; tells what was wrong with it. */
function trial(
  { decoder, seed }: Work,
  input: Buffer,
  number: number,
): 'taken' | 'refused' | { fault: string } {
  const { decode, refusals } = DECODERS[decoder]!;
  const began = performance.now();
  try {
    decode(input, seededRandom(seed ^ number));
    return slow(began) ?? 'taken';
  } catch (error) {
    const name = error instanceof Error ? error.name : typeof error;
    if (refusals.includes(name)) return slow(began) ?? 'refused';
    return { fault: `threw ${error instanceof Error ? (error.stack ?? name) : String(error)}` };
  }
}

function slow(began: number): { fault: string } | undefined {
  const ms = performance.now() - began;
  return ms > SLOW_MS ? { fault: `took ${Math.round(ms)} ms` } : undefined;
}

function run(work: Work): Report {
  const { decoder, inputs, seed, progress } = work;
  const counter = new Int32Array(progress);
  const mutation = new Mutation(DECODERS[decoder]!, seededRandom(seed));
  const faults: string[] = [];
  let refused = 0;
  let before = memory();
  for (let number = 0; number < inputs && faults.length < MOST_FAULTS; number += 1) {
    Atomics.store(counter, 0, number);
    if (number === Math.floor(inputs * WARM_UP)) before = memory();
    const input = mutation.next();
    let came = trial(work, input, number);
    // A machine that stood still is not the decoder's doing: what is slow is slow twice.
    if (typeof came === 'object' && came.fault.startsWith('took')) came = trial(work, input, number);
    if (came === 'refused') refused += 1;
    else if (came !== 'taken') faults.push(`${came.fault}: input ${number}, ${input.toString('base64')}`);
  }
  return { refused, growthBytes: memory() - before, faults };
}

const work: Work = workerData;
parentPort?.postMessage(run(work), []);
