import { fastify } from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createServer as createPlainServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Compile } from 'typebox/schema';
import type { XSchema } from 'typebox/schema';

import { OciError } from '#registry/oci-error.ts';

import { describeError } from '#registry/redact.ts';
import { boundClose } from './http-close.ts';
import { answerMalformed } from './http-malformed.ts';
import { formatHostPort, parseHostPort } from './host-port.ts';
import { answerError } from './http-error.ts';
import type { ErrorAnswer, ErrorMap } from './http-error.ts';
import { guardServer, serverTls } from './identity.ts';
import type { Security } from './identity.ts';
import type { Logger } from './logger.ts';
import { SECONDS_BUCKETS } from './metrics.ts';
import type { Metrics } from './metrics.ts';

export interface HttpServerOptions {
  /** Label of this listener in metrics and logs, e.g. `door`. */
  readonly name: string;
  /** Given and not off: TLS, and nothing for who is no member. */
  readonly security?: Security;
  /** Largest request body in bytes. */
  readonly bodyLimit: number;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The part's own errors made public. */
  readonly errors?: ErrorMap;
  /** Sockets open at once; more are closed as they come. Default 4096. */
  readonly maxConnections?: number;
  /** How long a connection without a request stays open. Default 75 000. */
  readonly keepAliveMs?: number;
  /** How long answers under way may go on once the server is closing. Default 5000. */
  readonly closeGraceMs?: number;
}

/** A request must have arrived whole within this time. Answers may take as long as they need. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_CONNECTIONS = 4096;
const CLOSE_GRACE_MS = 5000;

/**
 * An HTTP/1.1 server whose routes share one log line (debug), one set of metrics and one way from error to status.
 * Route schemas are checked by typebox. Start it with {@link listen}.
 */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const observe = observer(options);
  const app = fastify({
    serverFactory: (handler) => nodeServer(handler, options),
    bodyLimit: options.bodyLimit,
    logger: false,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: (error, request, reply) => {
      observe(request, reply);
      sendError(error, reply, options.errors);
    },
    clientErrorHandler: answerMalformed,
    // Naming factories keeps fastify from loading ajv; the compilers are set below.
    schemaController: { compilersFactory: { buildValidator: () => unused, buildSerializer: () => unused } },
  });
  app.setValidatorCompiler(compileValidator);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  boundClose(app, options.closeGraceMs ?? CLOSE_GRACE_MS);
  app.addHook('onRequest', (request, reply, done) => {
    observe(request, reply);
    done();
  });
  app.setErrorHandler((error, request, reply) => {
    const route = routeLabel(request);
    // Who leaves has work for nobody cut short: no failure of ours, whatever it is that ended with it.
    if (reply.raw.destroyed) {
      options.logger.debug({ err: error, route }, `${options.name}: the client left before its answer`);
      reply.hijack();
      return;
    }
    const { status, level = 'warn' } = sendError(error, reply, options.errors);
    if (status >= 500)
      options.logger[level]({ err: error, route, status }, `${options.name}: request failed`);
  });
  app.setNotFoundHandler(({ method }, reply) => {
    // RFC 9110, 9.1: 501 is for a method that no resource here knows.
    const error = METHODS.has(method)
      ? new OciError('UNSUPPORTED', 'there is no such route', { status: 404 })
      : new OciError('UNSUPPORTED', `${method} is not implemented here`, { status: 501 });
    sendError(error, reply);
  });
  return app;
}

function nodeServer(
  handler: RequestListener,
  { security = { mode: 'off' }, keepAliveMs = KEEP_ALIVE_TIMEOUT_MS }: HttpServerOptions,
): Server {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: keepAliveMs,
  };
  const tls = serverTls(security);
  if (tls === undefined) return createPlainServer(limits, handler);
  const server = createTlsServer({ ...limits, ...tls, handshakeTimeout: HEADERS_TIMEOUT_MS }, handler);
  guardServer(server, security);
  return server;
}

function sendError(error: unknown, reply: FastifyReply, own?: ErrorMap): ErrorAnswer {
  const answer = answerError(error, own);
  for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
  reply.code(answer.status).send(answer.body);
  return answer;
}

function unused(): never {
  throw new TypeError('compilers are set on the server itself');
}

function compileValidator({
  schema,
}: {
  schema: XSchema;
}): (value: unknown) => { error?: Error; value?: unknown } {
  const validator = Compile(schema);
  return (value) => {
    if (validator.Check(value)) return { value };
    const [, errors] = validator.Errors(value);
    const first = errors[0];
    return { error: new Error(`${first?.instancePath || 'it'} ${first?.message ?? 'is malformed'}`) };
  };
}

/** The route's pattern, never the path asked for: the label's values stay few. */
function routeLabel(request: FastifyRequest): string {
  return request.routeOptions.url ?? 'none';
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** Notes a request when its answer is over, given in full or not. */
type Observe = (request: FastifyRequest, reply: FastifyReply) => void;

function observer({ name, logger, metrics }: HttpServerOptions): Observe {
  const labels = ['server', 'route', 'method', 'status'] as const;
  const total = metrics.counter('http_requests_total', 'Requests answered, by route and status', labels);
  const duration = metrics.histogram(
    'http_request_duration_seconds',
    'Time from request to end of answer',
    SECONDS_BUCKETS,
    ['server', 'route'],
  );
  return (request, reply) => {
    const startedAt = performance.now();
    // Not fastify's onResponse: that is silent when the client goes away.
    reply.raw.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000;
      const route = routeLabel(request);
      const method = METHODS.has(request.method) ? request.method : 'other';
      const status = reply.raw.writableFinished ? String(reply.statusCode) : 'aborted';
      total.inc({ server: name, route, method, status });
      duration.observe({ server: name, route }, seconds);
      logger.debug({ server: name, route, method, status, ms: Math.round(seconds * 1000) }, 'request');
    });
  };
}

/** A server that is listening; disposing it stops it. */
export interface BoundServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `host:port`, IPv6 in brackets. */
  readonly address: string;
}

/**
 * Binds the server to `host:port` (port 0: any free one).
 * @throws TypeError for a malformed address; Error naming the address when it cannot be had.
 */
export async function listen(app: FastifyInstance, hostPort: string): Promise<BoundServer> {
  const wanted = parseHostPort(hostPort);
  if (!wanted) throw new TypeError(`cannot listen at "${hostPort}": host:port is expected`);
  try {
    await app.listen({ host: wanted.host, port: wanted.port });
  } catch (error) {
    await app.close();
    throw new Error(`cannot listen at ${hostPort}: ${describeError(error)}`, { cause: error });
  }
  const bound = app.server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`${hostPort} is not a TCP address`);
  const place = { host: bound.address, port: bound.port };
  return {
    ...place,
    address: formatHostPort(place),
    [Symbol.asyncDispose]: () => app.close(),
  };
}
