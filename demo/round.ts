import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveModel } from './live-table.ts';
import type { LiveWriter } from './live-writer.ts';
import type { NodePull } from './node-pull.ts';
import type { ImagePullOptions } from './pull-image.ts';

const SHOW_MS = 100;
/** Asking costs the agents time that they need for the pull. */
const LEARN_MS = 500;

export interface Round {
  readonly title: string;
  readonly imageBytes: number;
  /** Of the index that the tag must bring. */
  readonly digest: string;
  readonly pulls: readonly { readonly pull: NodePull; readonly from: PullFrom }[];
  /** Body bytes that have left the registry in this round. */
  readonly upstreamBytes: () => number;
  /** Learns where the bytes came from; called again and again, never twice at a time. */
  readonly learn: (signal: AbortSignal) => Promise<void>;
}

type PullFrom = Pick<ImagePullOptions, 'base' | 'repository' | 'reference' | 'ns'>;

/** All nodes pull at once, and it is shown how far they are. What a pull fails with is kept by it. */
export async function pullTogether(
  round: Round,
  { writer, now, signal }: { writer: LiveWriter; now: () => number; signal: AbortSignal },
): Promise<void> {
  const began = now();
  const model = (): LiveModel => ({
    title: round.title,
    imageBytes: round.imageBytes,
    upstreamBytes: round.upstreamBytes(),
    seconds: (now() - began) / 1000,
    nodes: round.pulls.map(({ pull }) => pull.progress),
  });
  const over = new AbortController();
  const shown = repeat(() => writer.update(model()), SHOW_MS, over.signal);
  const learnt = repeat(round.learn, LEARN_MS, over.signal);
  await Promise.all(round.pulls.map(({ pull, from }) => pull.run({ ...from, signal }, round.digest)));
  over.abort();
  await Promise.all([shown, learnt]);
  if (signal.aborted) return;
  await round.learn(signal);
  writer.finish(model());
}

/** Until the signal aborts. What goes wrong on the way is for show only, and shows at the end if it stays. */
async function repeat(
  look: (signal: AbortSignal) => unknown,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await look(signal);
      await sleep(everyMs, undefined, { signal });
    } catch {
      if (!signal.aborted) await sleep(SHOW_MS);
    }
  }
}
