import { readdir, readFile } from 'node:fs/promises';
import type { Part } from '../../bench/rig/part.ts';

const MOST_RSS_MIB_PER_MINUTE = 1;
const MOST_MORE_DESCRIPTORS = 16;

/** What a process holds at one time. */
export interface Sample {
  /** Since the beginning. */
  readonly minutes: number;
  readonly rssMib: number;
  readonly descriptors: number;
}

/** How a process' needs went over time. */
export interface Trend {
  readonly part: string;
  /** Medians of each tenth of the time, from the start on. */
  readonly rssMib: readonly number[];
  /** By least squares, after the warm-up. */
  readonly rssMibPerMinute: number;
  /** After the warm-up, in the last quarter of the time, beyond the first; medians. */
  readonly moreDescriptors: number;
}

export async function sample({ process: own }: Part, minutes: number): Promise<Sample> {
  const directory = `/proc/${own.child.pid}`;
  const [status, open] = await Promise.all([
    readFile(`${directory}/status`, 'utf8'),
    readdir(`${directory}/fd`),
  ]);
  const rssKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
  return { minutes, rssMib: rssKib / 1024, descriptors: open.length };
}

/** @param samples in the order of time, evenly apart; @param warmUp the share of them that does not count */
export function trendOf(part: string, samples: readonly Sample[], warmUp: number): Trend {
  const tenths = Array.from({ length: 10 }, (_, tenth) =>
    samples.slice((tenth * samples.length) / 10, ((tenth + 1) * samples.length) / 10),
  );
  const counted = samples.slice(samples.length * warmUp);
  const quarter = Math.ceil(counted.length / 4);
  const descriptors = counted.map((one) => one.descriptors);
  return {
    part,
    rssMib: tenths.map((tenth) => median(tenth.map(({ rssMib }) => rssMib))),
    rssMibPerMinute: slope(counted.map(({ minutes, rssMib }) => [minutes, rssMib])),
    moreDescriptors: median(descriptors.slice(-quarter)) - median(descriptors.slice(0, quarter)),
  };
}

/** What is wrong with it; what could not be measured is wrong too. */
export function growthOf({ part, rssMibPerMinute, moreDescriptors }: Trend): string[] {
  const grows = `${part} grows by ${rssMibPerMinute.toFixed(2)} MiB a minute`;
  return [
    ...(rssMibPerMinute <= MOST_RSS_MIB_PER_MINUTE ? [] : [grows]),
    ...(moreDescriptors <= MOST_MORE_DESCRIPTORS ? [] : [`${part} has ${moreDescriptors} more descriptors`]),
  ];
}

function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const covariance = points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0);
  return covariance / points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  return values.toSorted((low, high) => low - high)[Math.floor(values.length / 2)] ?? Number.NaN;
}
