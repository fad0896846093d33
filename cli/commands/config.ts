import { Argument } from 'commander';
import type { Command } from 'commander';
import { stat } from 'node:fs/promises';

import { agentOption } from '#cli/agent-url.ts';
import { UsageError } from '#cli/failure.ts';
import { COMMON_REGISTRIES, configure, RUNTIMES } from '#cli/runtimes/configure.ts';
import type { Configured, ConfigureOptions, Runtime } from '#cli/runtimes/configure.ts';
import { RuntimeConfigError } from '#cli/runtimes/edit.ts';
import { hold } from '#cli/runtimes/hold.ts';
import { NODE_KINDS } from '#cli/runtimes/nodes.ts';
import type { NodeKind } from '#cli/runtimes/nodes.ts';
import { parseRegistryHost } from '#registry/reference.ts';
import { readTakenPorts } from '#service/config/ports.ts';
import { doorDanger } from '#service/config/rules.ts';

interface ConfigOptions {
  readonly registry?: string[];
  readonly agent: URL;
  readonly root: string;
  readonly configPath?: string;
  readonly remove?: boolean;
  readonly hold?: boolean;
  readonly report?: string;
}

export function register(program: Command): void {
  program
    .command('config')
    .description(
      "Writes a container runtime's mirror configuration, keeps what was there, and takes it back.",
    )
    .addArgument(
      new Argument('<runtime>', 'the container runtime, or the kind of node that it is on').choices(NAMES),
    )
    .option(
      '--registry <name...>',
      `registries to mirror (default: containerd _default, all; podman and crio ${COMMON_REGISTRIES.join(', ')})`,
    )
    .addOption(agentOption())
    .option('--root <dir>', 'directory in which the paths are looked for', '/')
    .option(
      '--config-path <dir>',
      "containerd's config_path, where its configuration need not be read for it",
    )
    .option('--remove', 'take it back')
    .option('--hold', 'stay, keep it in place, and take it back when stopped')
    .option('--report <file>', 'with --hold: a file that is there while the mirror is not in place')
    .action(config);
}

const NAMES = [...new Set([...RUNTIMES, ...Object.keys(NODE_KINDS)])];

async function config(name: string, options: ConfigOptions): Promise<void> {
  const { agent, root, remove = false, configPath, report } = options;
  if (remove && options.hold) throw new UsageError('--remove and --hold: one of them is allowed');
  if (report !== undefined && !options.hold) throw new UsageError('--report goes with --hold');
  if (!remove) checkAgent(agent);
  await checkRoot(root);
  const { runtime, main, remedy } = NODE_KINDS[name] ?? plainRuntime(name);
  const registries = registriesFor(runtime, options.registry);
  const place = {
    ...(main !== undefined && { main }),
    ...(remedy !== undefined && { remedy }),
    ...(configPath !== undefined && { certs: configPath }),
  };
  const given = { registries, agent, root, ...place };
  if (!options.hold) return once(runtime, { ...given, remove });
  await hold(runtime, given, { tell, signal: stopSignal(), ...(report !== undefined && { report }) });
}

/** @throws RuntimeConfigError where what was asked for does not hold afterwards */
async function once(runtime: Runtime, options: ConfigureOptions): Promise<void> {
  const done = await configure(runtime, options);
  tell(done);
  if (options.remove && done.changes.length === 0) process.stderr.write('there was nothing to take back\n');
  if (!options.remove && !done.isInPlace)
    throw new RuntimeConfigError(`${runtime} does not ask Shoal: see above for what to do`);
}

/** docker and podman are on no kind of Kubernetes node. */
function plainRuntime(name: string): Pick<NodeKind, 'runtime' | 'main' | 'remedy'> {
  const runtime = RUNTIMES.find((known) => known === name);
  if (runtime === undefined) throw new UsageError(`${name} is no runtime: ${NAMES.join(', ')} are allowed`);
  return { runtime };
}

function tell({ changes, advice }: Configured): void {
  for (const { path, change } of changes) process.stdout.write(`${path}: ${change}\n`);
  for (const text of advice) process.stderr.write(`${text}\n`);
}

function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort()).once('SIGINT', () => stopping.abort());
  return stopping.signal;
}

/** A mirror that the agent itself would not open would get every pull of the node, and its credentials. */
function checkAgent(agent: URL): void {
  const host = agent.hostname.replace(/^\[(?<address>.+)\]$/u, '$<address>');
  const port = Number(agent.port || (agent.protocol === 'https:' ? 443 : 80));
  const danger = doorDanger({ host, port }, readTakenPorts());
  if (danger !== undefined) throw new UsageError(`--agent is "${agent.host}": ${danger}`);
}

async function checkRoot(root: string): Promise<void> {
  const found = await stat(root).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new UsageError(`--root is "${root}": a directory that exists is allowed`);
}

function registriesFor(runtime: Runtime, named: readonly string[] | undefined): string[] | undefined {
  if (named === undefined) return undefined;
  if (runtime === 'docker') throw new UsageError('docker mirrors docker.io only: leave out --registry');
  return named.map((name) => {
    if (name !== '_default') return parseRegistryHost(name);
    if (runtime === 'containerd') return name;
    throw new UsageError(`${runtime} has no entry for all registries: name each`);
  });
}
