import type { Options } from './options.ts';
import type { Measured } from './rig/rig.ts';
import type { PullReport } from './rig/pull.ts';

export interface Scenario {
  readonly name: string;
  /** In a few words. */
  readonly summary: string;
  readonly defaults: Pick<Options, 'nodes' | 'rateMbit' | 'sizeMib'>;
  /** Fewer agents make no sense; 1 unless given. */
  readonly leastNodes?: number;
  /** What is pulled, in words, where its size cannot be chosen. */
  readonly fixedSize?: string;
  run(options: Options, context: Context): Promise<Outcome>;
}

export interface Context {
  readonly signal: AbortSignal;
  /** Tells the one who waits what is going on. */
  readonly say: (text: string) => void;
}

/** One agent's pull, or one node's straight from the registry. */
export interface Pulled {
  readonly agent: string;
  readonly report: PullReport;
  /** The least time that its links permit; undefined where they are not shaped. */
  readonly boundSeconds: number | undefined;
}

export interface Outcome {
  /** F: what one agent pulls. */
  readonly bytes: number;
  readonly measured: Measured<readonly Pulled[]>;
  readonly direct: DirectOutcome | undefined;
  /** What only this scenario has to say. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface DirectOutcome {
  readonly pulls: readonly Pulled[];
  /** Of nginx, per GiB that it sent. */
  readonly cpuSecondsPerGiB: number;
  /** Of those who pull. */
  readonly pullerCpuSecondsPerGiB: number;
}
