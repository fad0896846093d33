import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { OciError } from '#registry/oci-error.ts';

import { isLoopback, parseHostPort } from './host-port.ts';
import { createHttpServer, listen } from './http-server.ts';
import type { BoundServer } from './http-server.ts';
import type { Security } from './identity.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

interface Readiness {
  readonly ready: boolean;
  /** Why not; told to callers on this machine, who may read the log too. */
  readonly reasons: readonly string[];
}

export interface StatusServerOptions {
  /** `host:port`. */
  readonly listen: string;
  /** File with the token that reads `/metrics` from outside loopback; read at each request, so it can be rotated. */
  readonly metricsTokenFile?: string;
  readonly security: Security;
  readonly metrics: Metrics;
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly logger: Logger;
}

/**
 * `/metrics` (Prometheus text), `/healthz` (the process answers) and `/readyz` (it can do its work).
 * Bound outside loopback, `/metrics` wants `Authorization: Bearer <token>` unless security is off;
 * the other two say only ok or not ready, and why not to callers on loopback.
 */
export async function startStatusServer(options: StatusServerOptions): Promise<BoundServer> {
  const { logger, metrics } = options;
  const app = createHttpServer({ name: 'status', bodyLimit: 1024, logger, metrics, closeGraceMs: 500 });
  const host = parseHostPort(options.listen)?.host ?? '';
  const guarded = options.security.mode !== 'off' && !isLoopback(host);
  app.get('/metrics', async (request, reply) => {
    if (guarded) await checkToken(request.headers.authorization, options.metricsTokenFile);
    const { contentType, text } = await metrics.expose();
    return reply.header('content-type', contentType).send(text);
  });
  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', async (request, reply) => {
    const { ready, reasons } = await options.readiness();
    reply.type('text/plain');
    if (ready) return reply.send('ok\n');
    logger.debug({ reasons }, 'not ready');
    const shown = isLoopback(request.socket.remoteAddress ?? '') ? reasons : [];
    return reply.code(503).send(`${['not ready', ...shown].join('\n')}\n`);
  });
  return listen(app, options.listen);
}

async function checkToken(authorization: string | undefined, file: string | undefined): Promise<void> {
  if (file === undefined)
    throw new OciError('DENIED', 'metrics outside loopback need status.metricsTokenFile to be configured');
  const token = (await readFile(file, 'utf8')).trim();
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (token === '' || given === undefined || !equalSecrets(given, token))
    throw new OciError('UNAUTHORIZED', 'a bearer token is needed', {
      headers: { 'www-authenticate': 'Bearer' },
    });
}

/** Compares in constant time whatever the lengths. */
function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
