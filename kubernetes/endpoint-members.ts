import { describeError } from '#registry/redact.ts';
import type { DiscoveryParts } from '#service/discovery/discovery.ts';
import type { MemberEntry } from '#service/discovery/member-entry.ts';
import type { WatchedSource } from '#service/discovery/member-list.ts';
import { formatHostPort } from '#service/host-port.ts';
import type { Logger } from '#service/logger.ts';

import { connectKubernetes } from './api.ts';
import { ServiceEndpoints } from './endpoints.ts';
import type { Endpoint } from './endpoints.ts';
import type { ResourceWatchParts } from './resource-watch.ts';

/**
 * Members by their endpoints: the ready ones, and none that is starting or ending. A pod with a hostname goes by the
 * name that DNS gives it, written as `dnssrv+` has it, so that both ways of looking find the same members.
 */
class EndpointMembers implements WatchedSource {
  readonly #endpoints: ServiceEndpoints;
  readonly #domain: string;
  #members: readonly string[] | undefined;
  #addresses: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(
    parts: ResourceWatchParts,
    entry: Extract<MemberEntry, { kind: 'endpoints' }>,
    onAnswer: () => void,
  ) {
    this.#domain = `${entry.service}.${entry.namespace}.svc`;
    this.#endpoints = new ServiceEndpoints(parts, entry);
    this.#endpoints.onChange(() => {
      if (this.#take(this.#endpoints.current.filter(({ ready }) => ready))) onAnswer();
    });
  }

  get members(): readonly string[] | undefined {
    return this.#members;
  }

  get synced(): Promise<void> {
    return this.#endpoints.synced;
  }

  addressesOf(host: string): readonly string[] | undefined {
    return this.#addresses.get(host);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#endpoints[Symbol.asyncDispose]();
  }

  /** Nobody left is no answer: as with DNS, the members last known stay. */
  #take(ready: readonly Endpoint[]): boolean {
    if (ready.length === 0) return false;
    const named = ready.flatMap(({ hostname, addresses, port }) => {
      const [address] = addresses;
      if (address === undefined) return [];
      const host = hostname === undefined ? address : `${hostname}.${this.#domain}`;
      return [{ member: formatHostPort({ host, port }), host, addresses }];
    });
    this.#members = named.map(({ member }) => member);
    this.#addresses = new Map(named.map(({ host, addresses }) => [host, addresses]));
    return true;
  }
}

/**
 * What follows `endpoints+` entries; undefined where there are none, and then Kubernetes' client is not even loaded.
 * @param starting ends the connections
 */
export async function endpointsWatcherFor(
  entries: readonly string[],
  { logger }: { readonly logger: Logger },
  starting: AsyncDisposableStack,
): Promise<DiscoveryParts['watchEndpoints']> {
  if (!entries.some((entry) => entry.startsWith('endpoints+'))) return undefined;
  const api = starting.use(await connectKubernetes());
  return (entry, onAnswer) => {
    const onFailure = (error: unknown): void =>
      logger.warn(
        { service: entry.service, reason: describeError(error) },
        'endpoints cannot be watched; trying on',
      );
    return new EndpointMembers({ api, now: monotonic, random: Math.random, onFailure }, entry, onAnswer);
  };
}

function monotonic(): number {
  return performance.now();
}
