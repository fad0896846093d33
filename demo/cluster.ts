import { randomInt } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { portsNeeded } from '#cli/dev/plan.ts';
import { firstTaken } from '#cli/dev/ports.ts';
import { startCluster } from '#cli/dev/dev.ts';
import { portDanger, readTakenPorts } from '#service/config/ports.ts';

const SHOAL = fileURLToPath(new URL('../cli/shoal.ts', import.meta.url));

/** Above what systems keep for themselves, below Shoal's own ports and Kubernetes' NodePorts. */
const FIRST_PORT = 10_000;
const LAST_PORT = 29_400;
const ATTEMPTS = 200;
const TAIL_LINES = 60;

interface DemoAgent {
  readonly name: string;
  /** `http://host:port` of its door. */
  readonly door: string;
}

export interface DemoCluster {
  readonly agents: readonly DemoAgent[];
  /** Rejects when a part ends by itself. */
  readonly broken: Promise<never>;
}

export interface DemoClusterOptions {
  readonly directory: string;
  readonly agents: number;
  /** `host:port` of the registry. */
  readonly registry: string;
  readonly logLevel: string;
}

/** A tracker, two origins and the agents, each a process, with a cluster key made for them. `stack` stops them. */
export async function startDemoCluster(
  options: DemoClusterOptions,
  { signal, stack, log }: { signal: AbortSignal; stack: AsyncDisposableStack; log: PartsLog },
): Promise<DemoCluster> {
  const over = new AbortController();
  // When one part cannot start the others are not waited for.
  stack.defer(() => over.abort());
  const firstPort = await freePortBlock(portsNeeded(options.agents));
  const { directory, agents, logLevel, registry } = options;
  const plan = { directory, agents, firstPort, logLevel, plainHosts: [registry] };
  const cluster = await startCluster(plan, {
    program: SHOAL,
    signal: AbortSignal.any([signal, over.signal]),
    stack,
    output: log,
  });
  const doors = cluster.parts.flatMap(({ name, door }) =>
    door === undefined ? [] : [{ name, door: `http://${door}` }],
  );
  return { agents: doors, broken: cluster.broken };
}

/** The first of so many ports in a row that are free and that a door may have. */
async function freePortBlock(count: number): Promise<number> {
  const kernel = readTakenPorts();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const first = randomInt(FIRST_PORT, LAST_PORT - count);
    const block = Array.from({ length: count }, (_, index) => first + index);
    const allowed = block.every((port) => portDanger(port, kernel) === undefined);
    if (allowed && (await firstTaken(block)) === undefined) return first;
  }
  throw new Error(`no ${count} ports in a row between ${FIRST_PORT} and ${LAST_PORT} are free and allowed`);
}

/** What the parts print: the last lines for when something goes wrong, all of it in a file where one is named. */
export class PartsLog implements AsyncDisposable {
  readonly #lines: string[] = [];
  readonly #file: WriteStream | undefined;

  /** @throws Error where the file cannot be written */
  static async open(path: string | undefined): Promise<PartsLog> {
    if (path === undefined) return new PartsLog(undefined);
    const file = createWriteStream(path);
    await once(file, 'open');
    return new PartsLog(file);
  }

  private constructor(file: WriteStream | undefined) {
    this.#file = file;
    // The log is for reading later: losing it is no reason to end the demo.
    this.#file?.on('error', (error) => void this.#lines.push(`${error.message}\n`));
  }

  write(line: string): void {
    this.#file?.write(line);
    this.#lines.push(line);
    if (this.#lines.length > TAIL_LINES) this.#lines.shift();
  }

  get tail(): string {
    return this.#lines.join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    if (file === undefined || file.destroyed) return;
    file.end();
    await once(file, 'close').catch(() => {});
  }
}
