import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { onTestFinished } from 'vitest';
import { Hosts, type HostsOptions, type UpstreamHosts } from '#registry/hosts.ts';
import { Upstream, type UpstreamOptions } from '#registry/upstream.ts';

/** A real server on 127.0.0.1, which remembers what it was asked. Stops with the test. */
export interface Loopback {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly server: Server;
  readonly requests: IncomingMessage[];
}

export type Listener = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface UpstreamSetting extends UpstreamOptions {
  /** Servers that are named for plain HTTP. */
  readonly plain?: readonly Loopback[];
  readonly hosts?: UpstreamHosts;
  readonly hostsOptions?: HostsOptions;
}

const FIXTURES = new URL('fixtures/', import.meta.url);
export const AUTHORITY = new URL('ca.pem', FIXTURES).pathname;

/** Listens; the listener is told how many requests there were, this one included. */
export async function serve(listener: Listener, options: { tls?: boolean } = {}): Promise<Loopback> {
  const requests: IncomingMessage[] = [];
  const listen: RequestListener = (request, response) => {
    requests.push(request);
    listener(request, response, requests.length);
  };
  const server = options.tls === true ? createTlsServer(tlsMaterial(), listen) : createServer(listen);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => stop(server));
  return { host: `127.0.0.1:${portOf(server)}`, server, requests };
}

export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('the server does not listen');
  return address.port;
}

/** The client under test, with short delays; stops with the test. */
export function upstreamFor({
  plain = [],
  hosts = {},
  hostsOptions = {},
  ...options
}: UpstreamSetting): Upstream {
  const named = Object.fromEntries(plain.map(({ host }) => [host, { plainHttp: true }]));
  const directory = new Hosts({ ...named, ...hosts }, hostsOptions);
  const upstream = new Upstream({ hosts: directory }, { backoffBaseMs: 2, backoffCapMs: 10, ...options });
  onTestFinished(async () => {
    await upstream[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });
  return upstream;
}

/** A signal that ends a test's requests if they hang. */
export function patience(): AbortSignal {
  return AbortSignal.timeout(15_000);
}

export async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}

function tlsMaterial(): { key: Buffer; cert: Buffer } {
  return {
    key: readFileSync(new URL('server-key.pem', FIXTURES)),
    cert: readFileSync(new URL('server.pem', FIXTURES)),
  };
}
