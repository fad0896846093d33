import type { LookupFunction } from 'node:net';
import { Agent, buildConnector } from 'undici';

import { clientTls } from './identity.ts';
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

/** Connections for talking to trackers and origins: by TLS that both sides prove membership in, or in the clear where security is off. */
export function clusterDispatcher(security: Security, options: ClusterClientOptions = {}): Agent {
  return new Agent({
    connections: options.connections ?? 16,
    pipelining: 1,
    allowH2: false,
    headersTimeout: options.headersTimeoutMs ?? 30_000,
    bodyTimeout: options.bodyTimeoutMs ?? 30_000,
    keepAliveTimeout: 30_000,
    maxHeaderSize: 32 * 1024,
    // Made for each connection, so that each proves what is in force by then.
    connect: (target, callback) =>
      buildConnector({
        ...clientTls(security),
        timeout: options.connectTimeoutMs ?? 2000,
        ...(options.lookup && { lookup: options.lookup }),
      })(target, callback),
  });
}

/** `https` towards cluster members that prove the cluster key, else `http`. */
export function clusterScheme(security: Security): 'http' | 'https' {
  return security.mode === 'off' ? 'http' : 'https';
}
