import type { FastifyInstance } from 'fastify';
import { chmod, mkdtemp, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describeError } from '#registry/redact.ts';
import { ADMIN_SOCKET } from './admin-client.ts';
import { answers, expectSocketPath } from './data-directory.ts';
import type { ErrorMap } from './http-error.ts';
import { createHttpServer } from './http-server.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

export interface AdminSocketOptions {
  /** The part's data directory. */
  readonly directory: string;
  /** Adds the part's routes (`POST /v1/prune`, …). */
  readonly routes: (app: FastifyInstance) => void;
  readonly errors?: ErrorMap;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface AdminSocket extends AsyncDisposable {
  readonly path: string;
}

/**
 * HTTP over `<data dir>/admin.sock`, mode 0600: whoever may open the file may administer the part.
 * @throws Error when the path is too long for a socket or another live process answers there.
 */
export async function startAdminSocket(options: AdminSocketOptions): Promise<AdminSocket> {
  const path = join(options.directory, ADMIN_SOCKET);
  expectSocketPath(path);
  if (await answers(path))
    throw new Error(`another process already serves ${path}: two parts cannot share a data directory`);
  const { logger, metrics } = options;
  const app = createHttpServer({
    name: 'admin',
    bodyLimit: 64 * 1024,
    logger,
    metrics,
    closeGraceMs: 500,
    ...(options.errors && { errors: options.errors }),
  });
  options.routes(app);
  await bindPrivately(app, options.directory, path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { force: true });
      await app.close();
    },
  };
}

/** The socket is made inside a directory that only we may enter and moved into place when its mode is right: no moment of being open to others. */
async function bindPrivately(app: FastifyInstance, directory: string, path: string): Promise<void> {
  const hidden = await mkdtemp(join(directory, '.a'));
  const temporary = join(hidden, 's');
  try {
    await app.listen({ path: temporary });
    await chmod(temporary, 0o600);
    await rename(temporary, path);
  } catch (error) {
    await app.close();
    throw new Error(`cannot make the admin socket ${path}: ${describeError(error)}`, { cause: error });
  } finally {
    await rm(temporary, { force: true });
    await rmdir(hidden);
  }
}
