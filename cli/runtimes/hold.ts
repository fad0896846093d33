import { rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { describeError } from '#registry/redact.ts';

import { configure } from './configure.ts';
import type { Configured, ConfigureOptions, Runtime } from './configure.ts';

/** Somebody may write the files anew, or a configuration that made it impossible may be mended. */
const CHECK_MS = 60_000;
const MESSAGE_LIMIT = 1000;

/**
 * Keeps a runtime's mirror configuration in place until the signal aborts, then takes it back. An end by force leaves it:
 * the next run goes on with it, and until then the runtime falls back to the registry after one refused connection.
 * What cannot be done now, such as changing a malformed file or writing to a full disk, is told of and tried again.
 * @param tell what was done or is to be done; not told again while it is the same.
 * @param report a file that is there while the mirror is not in place, with what is to be done: the agent looks for it
 */
export async function hold(
  runtime: Runtime,
  options: Omit<ConfigureOptions, 'remove'>,
  {
    tell,
    signal,
    report,
    checkMs = CHECK_MS,
  }: { tell: (done: Configured) => void; signal: AbortSignal; report?: string; checkMs?: number },
): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    const done = await attempted(runtime, { ...options, remove: false }, report);
    const news = JSON.stringify(done.advice);
    if (news !== told || done.changes.some(({ change }) => change !== 'unchanged')) tell(done);
    told = news;
    await sleep(checkMs, undefined, { signal }).catch(() => undefined);
  }
  // Whatever becomes of the report, the mirror is to be taken back.
  if (report !== undefined) await rm(report, { force: true }).catch(() => undefined);
  // All that was ever written, should the registries have been others in an earlier run.
  tell(await attempt(runtime, { ...options, registries: undefined, remove: true }));
}

/** Tries, and writes to the report what is to be done; should that fail, it is one thing more. */
async function attempted(
  runtime: Runtime,
  options: ConfigureOptions,
  report: string | undefined,
): Promise<Configured> {
  const done = await attempt(runtime, options);
  if (report === undefined) return done;
  try {
    await (done.isInPlace ? rm(report, { force: true }) : writeFile(report, JSON.stringify(done.advice)));
    return done;
  } catch (error) {
    return { ...done, advice: [...done.advice, describeError(error, MESSAGE_LIMIT)] };
  }
}

async function attempt(runtime: Runtime, options: ConfigureOptions): Promise<Configured> {
  try {
    return await configure(runtime, options);
  } catch (error) {
    return { changes: [], advice: [describeError(error, MESSAGE_LIMIT)], isInPlace: false };
  }
}
