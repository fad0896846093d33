import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { killWithUs } from './orphans.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const SHOAL = fileURLToPath(new URL('../../cli/shoal.ts', import.meta.url));
const LOG_BYTES = 1024 * 1024;
const READY_POLL_MS = 50;
const READY_TIMEOUT_MS = 20_000;
const STOP_GRACE_MS = 5000;

export interface SpawnOptions {
  /** Becomes the YAML file behind `--config`; without it the flag is left out. */
  config?: object;
  env?: Record<string, string>;
  /** Polled until it answers 200; without it the process counts as ready at once. */
  readyUrl?: string;
  readyTimeoutMs?: number;
  /** From SIGTERM to SIGKILL when the scope ends. */
  graceMs?: number;
  /** Another script than `cli/shoal.ts`. */
  script?: string;
}

interface ShoalExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ShoalProcess extends AsyncDisposable {
  readonly pid: number;
  /** Standard output and error, the last MiB. */
  logs(): string;
  /** Settles when the process has ended, however it ended. */
  readonly exited: Promise<ShoalExit>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL after the grace; the exit tells which of them it took. */
  stop(): Promise<ShoalExit>;
}

/**
 * `node cli/shoal.ts <args> --config <file>` as a child process.
 * @throws Error with the logs' end when the process exits or stays unready.
 */
export async function spawnShoal(args: readonly string[], options: SpawnOptions = {}): Promise<ShoalProcess> {
  await using cleanup = new AsyncDisposableStack();
  const configArgs: string[] = [];
  if (options.config !== undefined) {
    const directory = cleanup.use(await temporaryDirectory('config'));
    const file = directory.join('shoal.yaml');
    // JSON is YAML 1.2.
    await writeFile(file, JSON.stringify(options.config, undefined, 2), { mode: 0o600 });
    configArgs.push('--config', file);
  }
  const child = spawn(process.execPath, [options.script ?? SHOAL, ...args, ...configArgs], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const running = watch(child, options.graceMs ?? STOP_GRACE_MS);
  cleanup.defer(async () => {
    await running.stop();
  });
  await untilReady(running, args, options);
  const resources = cleanup.move();
  return { ...running, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

function watch(child: ChildProcess, graceMs: number): Omit<ShoalProcess, typeof Symbol.asyncDispose> {
  const log = boundedLog();
  child.stdout?.on('data', log.add);
  child.stderr?.on('data', log.add);
  killWithUs(child);
  const { promise: exited, resolve, reject } = Promise.withResolvers<ShoalExit>();
  child.once('error', reject);
  child.once('close', (code, signal) => {
    resolve({ code, signal });
  });
  // A caller that never looks at `exited` must not get an unhandled rejection of a failed spawn.
  exited.catch(() => {});
  const stop = async (): Promise<ShoalExit> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    return exited.finally(() => clearTimeout(timer));
  };
  return { pid: child.pid ?? 0, logs: log.text, exited, kill: (signal) => void child.kill(signal), stop };
}

function boundedLog(): { add: (chunk: Buffer) => void; text: () => string } {
  const chunks: Buffer[] = [];
  let size = 0;
  const add = (chunk: Buffer): void => {
    chunks.push(chunk);
    size += chunk.length;
    while (size > LOG_BYTES && chunks.length > 1) size -= chunks.shift()!.length;
  };
  return { add, text: () => Buffer.concat(chunks).toString('utf8') };
}

async function untilReady(
  running: Pick<ShoalProcess, 'exited' | 'logs'>,
  args: readonly string[],
  { readyUrl, readyTimeoutMs = READY_TIMEOUT_MS }: SpawnOptions,
): Promise<void> {
  if (readyUrl === undefined) return;
  const name = `shoal ${args.join(' ')}`;
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    const state = await Promise.race([
      running.exited.then((exit) => exit, String),
      isReady(readyUrl).then((ready) => (ready ? 'ready' : sleep(READY_POLL_MS, 'unready'))),
    ]);
    if (state === 'ready') return;
    if (state !== 'unready') {
      throw new Error(`${name} ended before it was ready (${JSON.stringify(state)}):\n${tail(running)}`);
    }
    if (performance.now() > deadline) {
      throw new Error(`${name} was not ready at ${readyUrl} after ${readyTimeoutMs} ms:\n${tail(running)}`);
    }
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

function tail(running: Pick<ShoalProcess, 'logs'>): string {
  return running.logs().slice(-4000);
}
