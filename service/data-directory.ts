import { randomBytes } from 'node:crypto';
import { link, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { describeError } from '#registry/redact.ts';

import { makeDirectory } from './make-directory.ts';

/** `sun_path` of unix(7) less its terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const LOCK = 'lock.sock';
/** Left-over locks that are cleared away before it is given up. */
const ATTEMPTS = 3;

/** Whether a name in a data directory is that of its lock, or of one that is being cleared away. */
export function isLockName(name: string): boolean {
  return name === LOCK || /^\.l[0-9a-f]{6}$/u.test(name);
}

/**
 * Makes a data directory this process' own until disposed of; to be taken before anything in it is opened. The lock
 * is a socket that somebody listens at: what a kill -9 leaves behind answers nobody and is no obstacle.
 * @throws Error when another process has the directory, or it cannot be used
 */
export async function claimDataDirectory(directory: string): Promise<AsyncDisposable> {
  const path = join(directory, LOCK);
  expectSocketPath(path);
  for (let attempt = 1; ; attempt += 1) {
    const server = createServer((socket) => socket.destroy());
    try {
      await makeDirectory(directory, 0o700);
      await listenAt(server, path);
      server.unref();
      return { [Symbol.asyncDispose]: () => close(server) };
    } catch (error) {
      if (!isTaken(error) || attempt === ATTEMPTS)
        throw new Error(`the data directory ${directory} cannot be used: ${describeError(error)}`, {
          cause: error,
        });
    }
    if (await answers(path)) throw inUse(directory);
    await clearLeftOver(directory, path);
  }
}

/** @throws Error for a path that is too long for a socket */
export function expectSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new Error(
      `the socket's path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes: choose a shorter data directory`,
    );
}

/** Whether a process listens at the socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function inUse(directory: string): Error {
  return new Error(
    `another process already uses ${directory}: two parts cannot share a data directory (stop the other one, or set another store.path)`,
  );
}

/** Moved away before it is removed: where another process took the lock just now, it gets it back. */
async function clearLeftOver(directory: string, path: string): Promise<void> {
  const aside = join(directory, `.l${randomBytes(3).toString('hex')}`);
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (!(await answers(aside))) return;
    await link(aside, path);
    throw inUse(directory);
  } finally {
    await rm(aside, { force: true });
  }
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function isTaken(error: unknown): boolean {
  return codeOf(error) === 'EADDRINUSE';
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
