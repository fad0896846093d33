import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Hosts, type HostsOptions, type UpstreamHosts } from '#registry/hosts.ts';
import { Upstream, type UpstreamOptions } from '#registry/upstream.ts';

/** A real server on 127.0.0.1, which remembers what it was asked. */
export interface Loopback extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly server: Server;
  readonly requests: IncomingMessage[];
}

const FIXTURES = new URL('fixtures/', import.meta.url);
export const AUTHORITY = new URL('ca.pem', FIXTURES).pathname;

export async function serve(listener: RequestListener, options: { tls?: boolean } = {}): Promise<Loopback> {
  const requests: IncomingMessage[] = [];
  const listen: RequestListener = (request, response) => {
    requests.push(request);
    listener(request, response);
  };
  const server = options.tls === true ? createTlsServer(tlsMaterial(), listen) : createServer(listen);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return { host: `127.0.0.1:${portOf(server)}`, server, requests, [Symbol.asyncDispose]: () => stop(server) };
}

export function portOf(server: Server): number {
  // A listening TCP server has an address object.
  return (server.address() as AddressInfo).port;
}

/** An upstream for loopback servers, all named for plain HTTP, with short delays. */
export function upstreamOf(
  plain: readonly Loopback[],
  options: UpstreamOptions = {},
  hosts: UpstreamHosts = {},
  hostsOptions: HostsOptions = {},
): Upstream & { readonly stopAll: () => Promise<void> } {
  const named = Object.fromEntries(plain.map(({ host }) => [host, { plainHttp: true }]));
  const directory = new Hosts({ ...named, ...hosts }, hostsOptions);
  const upstream = new Upstream({ hosts: directory }, { backoffBaseMs: 2, backoffCapMs: 10, ...options });
  return Object.assign(upstream, {
    stopAll: async () => {
      await upstream[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  });
}

function tlsMaterial(): { key: Buffer; cert: Buffer } {
  return {
    key: readFileSync(new URL('server-key.pem', FIXTURES)),
    cert: readFileSync(new URL('server.pem', FIXTURES)),
  };
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}
