import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Credentials } from './images.ts';
import { attempt, startDaemon, words, type Outcome } from './program.ts';

export interface Docker extends AsyncDisposable {
  /** Keeps the credentials in the configuration directory of that name. */
  login(place: string, credentials: Credentials, configuration: string): Promise<Outcome>;
  /** With what was logged in to in that configuration directory. */
  pull(reference: string, configuration: string): Promise<Outcome>;
  remove(reference: string): Promise<Outcome>;
}

/** Debian's dockerd with storage and socket of its own, without networks for containers; loopback is plain HTTP to it. */
export async function startDocker(directory: string): Promise<Docker> {
  await mkdir(directory, { recursive: true });
  const host = `unix://${join(directory, 'docker.sock')}`;
  const docker = (command: readonly string[], configuration: string, input?: string): Promise<Outcome> =>
    attempt(['docker', '--host', host, '--config', join(directory, configuration), ...command], {
      ...(input !== undefined && { input }),
    });
  const daemon = await startDaemon(
    [
      ...words('dockerd --bridge=none --iptables=false --ip6tables=false --storage-driver=vfs'),
      `--host=${host}`,
      `--data-root=${join(directory, 'data')}`,
      `--exec-root=${join(directory, 'exec')}`,
      `--pidfile=${join(directory, 'docker.pid')}`,
    ],
    async () => (await docker(['version'], 'none')).code === 0,
  );
  return {
    login: (place, { user, password }, configuration) =>
      docker(['login', '--username', user, '--password-stdin', place], configuration, password),
    pull: (reference, configuration) => docker(['pull', '--quiet', reference], configuration),
    remove: (reference) => docker(['image', 'rm', reference], 'none'),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
