import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { pause } from '#registry/retry.ts';

import type { PlannedPart } from './plan.ts';

const STOP_GRACE_MS = 10_000;
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 100;

/** A part as a child process; disposing it stops it: SIGTERM, and SIGKILL after a grace. */
export interface Child extends AsyncDisposable {
  readonly name: string;
  readonly pid: number | undefined;
  /** Resolves to how it ended, in words. */
  readonly ended: Promise<string>;
}

export interface ChildOptions {
  /** Path of the `shoal` command. */
  readonly program: string;
  /** The part's YAML file is written there. */
  readonly directory: string;
  readonly output: { write(text: string): unknown };
}

/**
 * Starts `shoal <part>` in a process group of its own, so that Ctrl-C reaches only this process and the stop is in order,
 * and with a channel to it: should this process vanish, the part ends by itself.
 */
export async function startChild(
  planned: PlannedPart,
  { program, directory, output }: ChildOptions,
): Promise<Child> {
  const file = join(directory, `${planned.name}.yaml`);
  await writeFile(file, JSON.stringify(planned.config, undefined, 2), { mode: 0o600 }); // JSON is YAML 1.2
  const child = spawn(process.execPath, [program, planned.part, '--config', file], {
    detached: true,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  relay(child.stdout, planned.name, output);
  relay(child.stderr, planned.name, output);
  const ended = once(child, 'close').then(
    ([code, signal]: unknown[]) =>
      typeof signal === 'string' ? `was ended by ${signal}` : `ended with code ${String(code)}`,
    (error: unknown) => `could not be started: ${String(error)}`,
  );
  return { name: planned.name, pid: child.pid, ended, [Symbol.asyncDispose]: () => stop(child, ended) };
}

/** Knobs set for this process are not meant for every part alike. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_')));
}

function relay(stream: Readable | null, name: string, output: { write(text: string): unknown }): void {
  if (stream) createInterface({ input: stream }).on('line', (line) => output.write(`${name} | ${line}\n`));
}

async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
  await ended;
  clearTimeout(timer);
}

/**
 * Waits until `/readyz` says ok.
 * @throws Error when it does not in time, or at once when the part ends before; the signal's reason
 */
export async function untilReady(
  child: Pick<Child, 'name' | 'ended'>,
  status: string,
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  void child.ended.then((how) => ended.abort(new Error(`${child.name} ${how}`)));
  const until = AbortSignal.any([signal, ended.signal]);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await isReady(status, until))) {
    if (performance.now() > deadline)
      throw new Error(`${child.name} was not ready after ${READY_TIMEOUT_MS / 1000} s`);
    await pause(READY_POLL_MS, until);
  }
}

async function isReady(status: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await fetch(`http://${status}/readyz`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]),
    });
    await answer.body?.cancel();
    return answer.status === 200;
  } catch {
    signal.throwIfAborted();
    return false; // not listening yet
  }
}
