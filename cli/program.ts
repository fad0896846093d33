import { Command } from 'commander';

import manifest from '../package.json' with { type: 'json' };

/** One command: adds itself to the program. */
interface CommandModule {
  register(program: Command): void;
}

/** Each command is loaded only when it is named, or all for the help: a node's agent carries no other. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  agent: () => import('./commands/agent.ts'),
  tracker: () => import('./commands/tracker.ts'),
  origin: () => import('./commands/origin.ts'),
  dev: () => import('./commands/dev.ts'),
  keygen: () => import('./commands/keygen.ts'),
  get: () => import('./commands/get.ts'),
  config: () => import('./commands/config.ts'),
  prepare: () => import('./commands/prepare.ts'),
  status: () => import('./commands/status.ts'),
  limits: () => import('./commands/limits.ts'),
  prune: () => import('./commands/prune.ts'),
};

/** The command line. `first` is the first argument: the command, or something for which all are shown. */
export async function createProgram(first: string | undefined): Promise<Command> {
  const program = new Command('shoal')
    .description(
      'Brings container images and build artifacts to many nodes, each byte once over the wide link.',
    )
    .version(manifest.version)
    .showHelpAfterError('(see --help)')
    .exitOverride();
  const named = first === undefined ? undefined : COMMANDS[first];
  const loaders = named ? [named] : Object.values(COMMANDS);
  const modules = await Promise.all(loaders.map((load) => load()));
  modules.forEach((module) => module.register(program));
  return program;
}
