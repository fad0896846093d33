import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Content } from '../../bench/rig/content.ts';
import { UPSTREAM_PORT } from '../../bench/rig/defaults.ts';
import type { Host } from '../../bench/rig/network.ts';
import { NamespacedProcess } from '../../bench/rig/process.ts';
import type { UpstreamServer } from '../../bench/rig/upstream.ts';
import type { Condition } from './upstream-condition.ts';

const PROGRAM = fileURLToPath(new URL('upstream-program.ts', import.meta.url));

/** An upstream registry that can be told to go wrong. */
export class FaultyUpstream implements UpstreamServer {
  readonly process: NamespacedProcess;
  readonly host: Host;
  /** Rejects when it ends, which it never does by itself. */
  readonly died: Promise<never>;
  #bytesSent = 0;

  private constructor(started: NamespacedProcess, host: Host) {
    this.process = started;
    this.host = host;
    this.died = started.ended.then(async (how): Promise<never> => {
      throw new Error(`the upstream registry ${how}:\n${await started.logTail()}`);
    });
    this.died.catch(() => {});
  }

  static async start(host: Host, content: Content, directory: string): Promise<FaultyUpstream> {
    await mkdir(directory, { recursive: true });
    const started = await NamespacedProcess.start({
      name: 'upstream',
      namespace: host.namespace,
      program: process.execPath,
      args: [PROGRAM, host.address, String(UPSTREAM_PORT), join(content.directory, 'blobs')],
      logFile: join(directory, 'upstream.log'),
    });
    const upstream = new FaultyUpstream(started, host);
    await upstream.#answered();
    return upstream;
  }

  get registry(): string {
    return `${this.host.address}:${UPSTREAM_PORT}`;
  }

  /** Body bytes until it last became something else. */
  async bytesSent(): Promise<number> {
    return this.#bytesSent;
  }

  /** From now on, for the answers under way too. */
  async become(condition: Condition): Promise<void> {
    const answered = this.#answered();
    this.process.child.send(condition);
    await answered;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process.kill();
  }

  async #answered(): Promise<void> {
    const [bytesSent]: unknown[] = await Promise.race([once(this.process.child, 'message'), this.died]);
    this.#bytesSent = Number(bytesSent);
  }
}
