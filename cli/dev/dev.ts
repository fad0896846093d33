import { firstTaken } from './ports.ts';
import { startChild, untilReady } from './child.ts';
import type { Child } from './child.ts';
import { planCluster } from './plan.ts';
import type { PlannedPart, PlanOptions } from './plan.ts';

export interface Cluster {
  readonly parts: readonly PlannedPart[];
  readonly children: readonly Child[];
  /** Rejects when a part ends by itself. */
  readonly broken: Promise<never>;
}

/**
 * Starts a tracker, two origins and the agents as child processes on loopback and waits until all are ready.
 * @param stack stops them.
 * @throws Error when a port is taken, or a part ends or does not get ready.
 */
export async function startCluster(
  options: PlanOptions,
  parts: { signal: AbortSignal; stack: AsyncDisposableStack; output: { write(text: string): unknown } },
): Promise<Cluster> {
  const { signal, stack, output } = parts;
  const planned = await planCluster(options);
  const taken = await firstTaken(planned.flatMap(({ ports }) => ports));
  if (taken !== undefined) throw new Error(`port ${taken} is taken: choose others with --port`);
  const children: Child[] = [];
  for (const part of planned) children.push(stack.use(await startChild(part, options.directory, output)));
  const broken = Promise.race(children.map(failWhenEnded));
  broken.catch(() => {}); // looked at below and by the caller
  const settled = new AbortController();
  const until = AbortSignal.any([signal, settled.signal]);
  try {
    await Promise.race([broken, Promise.all(planned.map((part) => untilReady(part, until)))]);
  } finally {
    settled.abort(); // one has failed: the others are not waited for
  }
  return { parts: planned, children, broken };
}

async function failWhenEnded({ name, ended }: Child): Promise<never> {
  throw new Error(`${name} ${await ended}`);
}
