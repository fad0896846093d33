import type { LookupFunction } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Agent, buildConnector } from 'undici';

import { clientTls, guardDials } from './identity.ts';
import type { Security } from './identity.ts';

export interface ClusterClientOptions {
  /** Sockets per tracker or origin. Default 16. */
  readonly connections?: number;
  /** Default 2000. */
  readonly connectTimeoutMs?: number;
  /** Until the answer's headers are there. Default 30 000. */
  readonly headersTimeoutMs?: number;
  /** Between two chunks of an answer's body. Default 30 000. */
  readonly bodyTimeoutMs?: number;
  /** How members' names become addresses; default the system's way. */
  readonly lookup?: LookupFunction;
}

/**
 * A connection gets no new request after this time, so that soon after a change of keys all prove the new one, and none
 * is cut under a request when the old key is taken out. Milliseconds.
 */
const CONNECTION_LIFETIME_MS = 60_000;

/** Connections for talking to trackers and origins: by TLS that both sides prove membership in, or in the clear where security is off. */
export function clusterDispatcher(security: Security, options: ClusterClientOptions = {}): Agent {
  const guardDial = guardDials(security);
  return new Agent({
    connections: options.connections ?? 16,
    pipelining: 1,
    allowH2: false,
    headersTimeout: options.headersTimeoutMs ?? 30_000,
    bodyTimeout: options.bodyTimeoutMs ?? 30_000,
    keepAliveTimeout: 30_000,
    clientTtl: CONNECTION_LIFETIME_MS,
    maxHeaderSize: 32 * 1024,
    // Made for each connection, so that each proves what is in force by then.
    connect: (target, callback) => {
      const guard = guardDial();
      const connect = buildConnector({
        ...clientTls(security),
        timeout: options.connectTimeoutMs ?? 2000,
        ...(options.lookup && { lookup: options.lookup }),
      });
      connect(target, (...[error, socket]) => {
        if (socket instanceof TLSSocket) guard(socket);
        if (error === null) callback(null, socket);
        else callback(error, null);
      });
    },
  });
}

/** `https` towards cluster members that prove the cluster key, else `http`. */
export function clusterScheme(security: Security): 'http' | 'https' {
  return security.mode === 'off' ? 'http' : 'https';
}
