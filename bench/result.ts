import { cpus } from 'node:os';
import type { Options } from './options.ts';
import type { Outcome, Pulled } from './scenario.ts';

const GIB = 2 ** 30;
const DECIMALS = 1000;

type PerKind = Record<'agent' | 'origin' | 'tracker', number>;

/** What `--json` prints. Times are seconds from an agent's own first request on. */
export interface Result {
  scenario: string;
  nodes: number;
  /** Null: not shaped. */
  rateMbit: number | null;
  /** F: what each agent pulled. */
  bytes: number;
  /** The largest of the agents' own; null where links are not shaped. */
  boundSeconds: number | null;
  p50Seconds: number;
  maxSeconds: number;
  /** The largest of the agents' time ÷ own bound. */
  ratio: number | null;
  /** The latest first byte of all agents. */
  ttfbSeconds: number;
  ttfbP50Seconds: number;
  /** Payload that the origin sent to peers ÷ F. */
  originUploadOverF: number;
  /** All frames that left the origin's host ÷ F. */
  originInterfaceOverF: number;
  /** All frames that agents received ÷ what runtimes got: what exceeds the headers' 1.05 came twice or for nothing. */
  receivedOverPulled: number;
  /** Body bytes that the upstream registry sent ÷ F. */
  upstreamOverF: number;
  /** Of what runtimes got. */
  shares: { cache: number; peer: number; origin: number; upstream: number };
  /** Agent and tracker: per GiB that runtimes got. Origin: per GiB of F. */
  cpuSecondsPerGiB: PerKind;
  /** The kernel's part of it, from 0 to 1: on shaped links every packet is cut and queued in the sender's name. */
  systemShare: PerKind;
  /** CPU of those who pull through the doors, sha256 included, per GiB; not part of the agent's. */
  pullerCpuSecondsPerGiB: number;
  peakRssMiB: PerKind;
  /** The same bytes straight from nginx; null without. */
  direct: {
    p50Seconds: number;
    maxSeconds: number;
    ttfbSeconds: number;
    /** Of nginx. */
    cpuSecondsPerGiB: number;
    pullerCpuSecondsPerGiB: number;
  } | null;
  /** Direct ÷ Shoal by the slowest agent; null without. */
  speedup: number | null;
  /** Cores busy with other things than this rig: how noisy the machine was. */
  otherBusyCores: number;
  machine: { cores: number; model: string; node: string; stores: 'memory' | 'disk' };
  at: string;
  [extra: string]: unknown;
}

export function toResult(options: Options, outcome: Outcome): Result {
  const { bytes, measured, direct, extra } = outcome;
  const { account, result: pulls } = measured;
  const pulled = sum(pulls.map(bytesOf));
  const perGiB = (seconds: number, of: number): number => round((seconds * GIB) / Math.max(of, 1));
  const times = timesOf(pulls);
  const straight = direct && {
    ...timesOf(direct.pulls),
    cpuSecondsPerGiB: round(direct.cpuSecondsPerGiB),
    pullerCpuSecondsPerGiB: round(direct.pullerCpuSecondsPerGiB),
  };
  const systemShare = (kind: keyof PerKind): number =>
    round(account.spent(kind).systemSeconds / Math.max(account.spent(kind).cpuSeconds, 0.001));
  return {
    scenario: options.scenario.name,
    nodes: options.nodes,
    rateMbit: options.rateMbit ?? null,
    bytes,
    ...bounds(pulls),
    ...times,
    originUploadOverF: round(account.spent('origin').sentBytes / bytes),
    originInterfaceOverF: round(measured.originInterfaceBytes / bytes),
    receivedOverPulled: round(measured.agentsReceivedBytes / Math.max(pulled, 1)),
    upstreamOverF: round(measured.upstreamBytes / bytes),
    shares: sharesOf(account.sources),
    cpuSecondsPerGiB: {
      agent: perGiB(account.spent('agent').cpuSeconds, pulled),
      origin: perGiB(account.spent('origin').cpuSeconds, bytes),
      tracker: perGiB(account.spent('tracker').cpuSeconds, pulled),
    },
    systemShare: {
      agent: systemShare('agent'),
      origin: systemShare('origin'),
      tracker: systemShare('tracker'),
    },
    pullerCpuSecondsPerGiB: perGiB(account.spent('agent').handSeconds, pulled),
    peakRssMiB: {
      agent: Math.round(account.spent('agent').peakRssMiB),
      origin: Math.round(account.spent('origin').peakRssMiB),
      tracker: Math.round(account.spent('tracker').peakRssMiB),
    },
    direct: straight ?? null,
    speedup: straight ? round(straight.maxSeconds / times.maxSeconds) : null,
    otherBusyCores: round(measured.otherBusyCores),
    machine: {
      cores: cpus().length,
      model: cpus()[0]?.model ?? 'unknown',
      node: process.version,
      stores: measured.inMemory ? 'memory' : 'disk',
    },
    at: new Date().toISOString(),
    ...extra,
  };
}

/** @param part from 0 to 1; the smallest value that so great a part of all does not exceed */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

export function round(value: number): number {
  return Math.round(value * DECIMALS) / DECIMALS;
}

function timesOf(
  pulls: readonly Pulled[],
): Pick<Result, 'p50Seconds' | 'maxSeconds' | 'ttfbSeconds' | 'ttfbP50Seconds'> {
  const seconds = pulls.map(({ report }) => report.seconds);
  const firstBytes = pulls.map(({ report }) => report.fetched[0]?.firstByteSeconds ?? report.seconds);
  return {
    p50Seconds: round(percentile(seconds, 0.5)),
    maxSeconds: round(Math.max(...seconds)),
    ttfbSeconds: round(Math.max(...firstBytes)),
    ttfbP50Seconds: round(percentile(firstBytes, 0.5)),
  };
}

function bounds(pulls: readonly Pulled[]): Pick<Result, 'boundSeconds' | 'ratio'> {
  const bounded = pulls.flatMap(({ report: { seconds }, boundSeconds: bound }) =>
    bound === undefined ? [] : [{ bound, ratio: seconds / bound }],
  );
  if (bounded.length === 0) return { boundSeconds: null, ratio: null };
  return {
    boundSeconds: round(Math.max(...bounded.map(({ bound }) => bound))),
    ratio: round(Math.max(...bounded.map(({ ratio }) => ratio))),
  };
}

function sharesOf(sources: Result['shares']): Result['shares'] {
  const all = Math.max(1, sum(Object.values(sources)));
  const { cache, peer, origin, upstream } = sources;
  return {
    cache: round(cache / all),
    peer: round(peer / all),
    origin: round(origin / all),
    upstream: round(upstream / all),
  };
}

function bytesOf({ report }: Pulled): number {
  return sum(report.fetched.map(({ bytes }) => bytes));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
