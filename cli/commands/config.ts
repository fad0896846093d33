import { Argument } from 'commander';
import type { Command } from 'commander';
import { stat } from 'node:fs/promises';

import { agentOption } from '#cli/agent-url.ts';
import { UsageError } from '#cli/failure.ts';
import { COMMON_REGISTRIES, configure, RUNTIMES } from '#cli/runtimes/configure.ts';
import type { Runtime } from '#cli/runtimes/configure.ts';
import { parseRegistryHost } from '#registry/reference.ts';
import { readTakenPorts } from '#service/config/ports.ts';
import { doorDanger } from '#service/config/rules.ts';

interface ConfigOptions {
  readonly registry?: string[];
  readonly agent: URL;
  readonly root: string;
  readonly remove?: boolean;
}

export function register(program: Command): void {
  program
    .command('config')
    .description(
      "Writes a container runtime's mirror configuration, keeps what was there, and takes it back.",
    )
    .addArgument(new Argument('<runtime>', 'the container runtime').choices(RUNTIMES))
    .option(
      '--registry <name...>',
      `registries to mirror (default: containerd _default, all; podman and crio ${COMMON_REGISTRIES.join(', ')})`,
    )
    .addOption(agentOption())
    .option('--root <dir>', 'directory in which the paths are looked for', '/')
    .option('--remove', 'take it back')
    .action(async (runtime: Runtime, options: ConfigOptions) => {
      const { agent, root, remove = false } = options;
      if (!remove) checkAgent(agent);
      await checkRoot(root);
      const registries = registriesFor(runtime, options.registry);
      const { changes, advice } = await configure(runtime, { registries, agent, root, remove });
      for (const { path, change } of changes) process.stdout.write(`${path}: ${change}\n`);
      for (const text of advice) process.stderr.write(`${text}\n`);
    });
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
