import { firstTaken } from './ports.ts';
import { startChild, untilReady } from './child.ts';
import type { Child } from './child.ts';
import { KeptPart } from './kept-part.ts';
import { planCluster } from './plan.ts';
import type { PlannedPart, PlanOptions } from './plan.ts';

const BACKOFF = { baseMs: 500, capMs: 10_000, random: Math.random };

export interface Cluster {
  readonly parts: readonly PlannedPart[];
  /** Rejects when a part ends again and again; until then it is started anew and the others go on. */
  readonly broken: Promise<never>;
}

export interface ClusterParts {
  /** Path of the `shoal` command. */
  readonly program: string;
  readonly signal: AbortSignal;
  /** Stops the parts. */
  readonly stack: AsyncDisposableStack;
  readonly output: { write(text: string): unknown };
}

/**
 * Starts a tracker, two origins and the agents as child processes on loopback and waits until all are ready.
 * @throws Error when a port is taken, or a part ends before it is ready or does not get ready
 */
export async function startCluster(options: PlanOptions, parts: ClusterParts): Promise<Cluster> {
  const { program, signal, stack, output } = parts;
  const planned = await planCluster(options);
  const taken = await firstTaken(planned.flatMap(({ ports }) => ports));
  if (taken !== undefined) throw new Error(`port ${taken} is taken: choose others with --port`);
  const start = (part: PlannedPart): Promise<Child> =>
    startChild(part, { program, directory: options.directory, output });
  const children: Child[] = [];
  await using starting = new AsyncDisposableStack();
  for (const part of planned) children.push(starting.use(await start(part)));
  await allReady(planned, children, signal);
  const kept = planned.map((part, index) =>
    stack.use(
      new KeptPart(children[index]!, {
        start: () => start(part),
        output,
        now: () => performance.now(),
        backoff: BACKOFF,
      }),
    ),
  );
  starting.move();
  const broken = Promise.race(kept.map((part) => part.kept.then(() => new Promise<never>(() => {}))));
  broken.catch(() => {}); // looked at by the caller
  return { parts: planned, broken };
}

/** When one fails the others are not waited for. */
async function allReady(
  planned: readonly PlannedPart[],
  children: readonly Child[],
  signal: AbortSignal,
): Promise<void> {
  const settled = new AbortController();
  const until = AbortSignal.any([signal, settled.signal]);
  try {
    await Promise.all(planned.map(({ status }, index) => untilReady(children[index]!, status, until)));
  } finally {
    settled.abort();
  }
}
