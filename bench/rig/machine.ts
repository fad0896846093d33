import { existsSync } from 'node:fs';
import { command } from './command.ts';
import { NAMESPACE_PREFIX } from './defaults.ts';

const NEEDED = [
  { program: 'ip', args: ['-Version'], from: 'iproute2' },
  { program: 'tc', args: ['-Version'], from: 'iproute2' },
  { program: 'setpriv', args: ['--version'], from: 'util-linux' },
  { program: 'nginx', args: ['-v'], from: 'nginx-light' },
];

/** @throws Error saying what the rig needs and does not find */
export async function checkMachine(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the rig makes network namespaces: it has to run as root');
  for (const { program, args, from } of NEEDED) {
    await command(program, ...args).catch((error: unknown) => {
      throw new Error(`the rig needs ${program} (Debian: ${from})`, { cause: error });
    });
  }
}

/** Deletes namespaces of runs that are no more. */
export async function sweep(): Promise<void> {
  const names = (await command('ip', 'netns', 'list')).split('\n').map((line) => line.split(' ')[0] ?? '');
  for (const name of names) {
    const owner = name.startsWith(NAMESPACE_PREFIX) ? /^\d+/.exec(name.slice(NAMESPACE_PREFIX.length)) : null;
    if (owner !== null && !existsSync(`/proc/${owner[0]}`)) await command('ip', 'netns', 'delete', name);
  }
}
