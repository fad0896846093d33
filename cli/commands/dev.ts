import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { startCluster } from '#cli/dev/dev.ts';
import { portsNeeded } from '#cli/dev/plan.ts';
import { readableLog } from '#cli/dev/readable-log.ts';
import { UsageError } from '#cli/failure.ts';
import { parseRegistryHost } from '#registry/reference.ts';
import { run } from '#service/lifecycle.ts';
import { LOG_LEVELS } from '#service/logger.ts';
import { makeDirectory } from '#service/make-directory.ts';

interface DevOptions {
  readonly agents: number;
  readonly port: number;
  readonly dir?: string;
  readonly logLevel: string;
  readonly plainHttp?: string[];
}

/** From here on lies the NodePort range, where no door may be. */
const LAST_PORT = 29_999;

export function register(program: Command): void {
  program
    .command('dev')
    .description(
      'Starts a tracker, two origins and agents on loopback, with keys of their own; Ctrl-C stops all.',
    )
    .option('--agents <count>', 'how many agents', wholeNumber, 2)
    .option('--port <first>', 'first of the ports used; the first door is there', wholeNumber, 29_500)
    .option(
      '--dir <dir>',
      'keys and data are kept there (default: a temporary directory, removed at the end)',
    )
    .addOption(
      new Option('--log-level <level>', 'log level of the parts').choices(LOG_LEVELS).default('warn'),
    )
    .option('--plain-http <host...>', 'upstream hosts that are asked over plain HTTP', plainHost)
    .action(dev);
}

async function dev(options: DevOptions): Promise<void> {
  const { agents, port: firstPort, logLevel, plainHttp: plainHosts = [] } = options;
  if (agents < 1) throw new UsageError('--agents: at least 1 is allowed');
  const last = firstPort + portsNeeded(agents) - 1;
  if (firstPort < 1024 || last > LAST_PORT)
    throw new UsageError(
      `${agents} agents need the ports ${firstPort} to ${last}: 1024 to ${LAST_PORT} are allowed`,
    );
  await run(async (signal, stack) => {
    const directory = await openDirectory(options.dir, stack);
    const cluster = await startCluster(
      { directory, agents, firstPort, logLevel, plainHosts },
      { program: process.argv[1]!, signal, stack, output: readableLog(process.stderr) },
    );
    for (const { name, door, status } of cluster.parts)
      process.stdout.write(
        `${name}${door === undefined ? '' : ` http://${door}`} (status http://${status})\n`,
      );
    process.stdout.write(`ready: keys and data in ${directory}; Ctrl-C stops all\n`);
    await Promise.race([cluster.broken, aborted(signal)]);
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

async function openDirectory(named: string | undefined, stack: AsyncDisposableStack): Promise<string> {
  if (named !== undefined) {
    await makeDirectory(named, 0o700);
    return resolve(named);
  }
  const directory = await mkdtemp(join(tmpdir(), 'shoal-dev-'));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
  return directory;
}

function plainHost(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, parseRegistryHost(text)];
}

function wholeNumber(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number is allowed');
}
