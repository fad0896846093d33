import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { killWithUs } from '../support/orphans.ts';

const LOG_BYTES = 4 * 1024 * 1024;
const READY_POLL_MS = 50;
const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 5000;
const RUN_TIMEOUT_MS = 240_000;

/** Splits a part of a command line that has no blanks of its own. */
export function words(text: string): string[] {
  return text.split(' ');
}

export interface Outcome {
  /** Exit code; -1 when a signal ended it. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  input?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Runs a program to its end. Resolves whatever the exit code; a program past its time is killed and gets -1. */
export async function attempt(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = start(command, options);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  child.stdin?.end(options.input);
  const kill = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(kill, options.timeoutMs ?? RUN_TIMEOUT_MS);
  options.signal?.addEventListener('abort', kill, { once: true });
  try {
    const [code]: (number | null)[] = await once(child, 'close');
    return { code: code ?? -1, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', kill);
  }
}

/**
 * Runs a program that must succeed; gives its standard output.
 * @throws Error with the command and what it printed.
 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  return mustSucceed(await attempt(command, options), command.join(' '));
}

/**
 * Gives the standard output of a program that did what it was told.
 * @throws Error with all that it printed, of any other.
 */
export function mustSucceed({ code, stdout, stderr }: Outcome, command = 'the program'): string {
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /** Standard output and error, the last 4 MiB, in order of arrival. */
  logs(): string;
  /** SIGTERM, and SIGKILL after a grace. */
  stop(): Promise<void>;
}

/**
 * Starts a program and waits until `ready` says so.
 * @throws Error with its output when it ends or stays unready.
 */
export async function startDaemon(
  command: readonly string[],
  ready: () => Promise<boolean>,
  options: RunOptions = {},
): Promise<Daemon> {
  const child = start(command, options);
  child.stdin?.end();
  const logs = collect(child.stdout, child.stderr);
  let ended = false;
  const exited = once(child, 'close').then(() => (ended = true));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
    await exited.finally(() => clearTimeout(timer));
  };
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (!(await ready().catch(() => false))) {
    if (ended || performance.now() > deadline) {
      await stop();
      throw new Error(`${command.join(' ')} ${ended ? 'ended' : 'was not ready in time'}:\n${logs()}`);
    }
    await sleep(READY_POLL_MS);
  }
  return { pid: child.pid ?? 0, logs, stop, [Symbol.asyncDispose]: stop };
}

/** Polls until `probe` gives something, or throws with `what` after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(READY_POLL_MS);
  }
}

function start([program, ...args]: readonly string[], { env, cwd }: RunOptions): ChildProcess {
  const child = spawn(program ?? '', args, {
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdio: 'pipe',
  });
  killWithUs(child);
  // A program that ends before it read its input is not our failure.
  child.stdin?.on('error', () => {});
  return child;
}

function collect(...streams: readonly (NodeJS.ReadableStream | null)[]): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  for (const stream of streams) {
    stream?.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      while (size > LOG_BYTES && chunks.length > 1) size -= chunks.shift()?.length ?? 0;
    });
  }
  return () => Buffer.concat(chunks).toString('utf8');
}
