import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { open, readFile, writeFile } from 'node:fs/promises';
import { readUsage, type Usage } from './usage.ts';

const STOP_GRACE_MS = 10_000;
const TAIL_LINES = 15;

export interface ProcessOptions {
  readonly name: string;
  readonly namespace: string;
  readonly program: string;
  readonly args: readonly string[];
  /** What it prints goes there. */
  readonly logFile: string;
  /** Beside what it inherits. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A process in a namespace, with a channel to it; it ends when this process ends. */
export class NamespacedProcess implements AsyncDisposable {
  readonly name: string;
  /** Resolves to how it ended, in words. */
  readonly ended: Promise<string>;
  readonly child: ChildProcess;
  readonly #logFile: string;
  #last: Usage = { cpuSeconds: 0, systemSeconds: 0, peakRssMiB: 0 };

  private constructor({ name, logFile }: ProcessOptions, child: ChildProcess) {
    this.name = name;
    this.child = child;
    this.#logFile = logFile;
    this.ended = once(child, 'exit').then(
      ([code, signal]: unknown[]) =>
        typeof signal === 'string' ? `was ended by ${signal}` : `ended with code ${String(code)}`,
      (error: unknown) => `could not be started: ${String(error)}`,
    );
  }

  static async start(options: ProcessOptions): Promise<NamespacedProcess> {
    await using log = await open(options.logFile, 'a');
    // Each of the two replaces itself by what it starts: the child's id stays the process' own.
    const inside = ['netns', 'exec', options.namespace, 'setpriv', '--pdeathsig', 'KILL', '--'];
    const priority = getPriority();
    const child = spawn('ip', [...inside, options.program, ...options.args], {
      detached: true,
      env: { ...environment(), ...options.environment },
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
    });
    const started = new NamespacedProcess(options, child);
    if (priority !== 0 && child.pid !== undefined) await raise(child.pid, priority);
    return started;
  }

  /** Of an ended process: what it had used when it was last asked. */
  async usage(): Promise<Usage> {
    const { pid } = this.child;
    if (pid === undefined || !this.running) return this.#last;
    this.#last = await readUsage(pid);
    return this.#last;
  }

  get running(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The end of what it printed. */
  async logTail(): Promise<string> {
    const text = await readFile(this.#logFile, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.running) return;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

/**
 * Where the kernel shares the cores among sessions first (autogroups), a process' own nice value counts only against its
 * session, and each process here is its own session.
 */
async function raise(pid: number, priority: number): Promise<void> {
  await writeFile(`/proc/${pid}/autogroup`, String(priority)).catch(() => {});
}

/** Knobs set for this process are not meant for the parts, and the proxies of this machine are out of their reach. */
function environment(): NodeJS.ProcessEnv {
  const dropped = /^(SHOAL_|NODE_OPTIONS$|.*_proxy$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !dropped.test(name)));
}
