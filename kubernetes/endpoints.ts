import { isJsonObject } from '#registry/json-object.ts';

import { ResourceWatch } from './resource-watch.ts';
import type { ResourceWatchParts } from './resource-watch.ts';

/** One pod behind a Service, as an EndpointSlice tells of it (discovery.k8s.io/v1). */
export interface Endpoint {
  /** Of one family; the slice's. */
  readonly addresses: readonly string[];
  /** Set for pods of a StatefulSet. */
  readonly hostname: string | undefined;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  readonly port: number;
}

interface Slice {
  readonly family: 'IPv4' | 'IPv6';
  readonly endpoints: readonly Endpoint[];
}

export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
  /** Of the port that counts. */
  readonly portName: string;
}

/** The pods behind a headless Service, kept up to date. */
export class ServiceEndpoints implements AsyncDisposable {
  readonly #slices: ResourceWatch<Slice>;

  constructor(parts: ResourceWatchParts, { namespace, service, portName }: ServiceName) {
    this.#slices = new ResourceWatch(parts, {
      path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      labelSelector: `kubernetes.io/service-name=${service}`,
      keep: (object) => sliceOf(object, portName),
    });
  }

  /** Resolves when they are known for the first time. */
  get synced(): Promise<void> {
    return this.#slices.synced;
  }

  /** Empty until they are known, see {@link synced}. A pod with addresses of both families counts by its IPv4 ones, as for DNS. */
  get current(): readonly Endpoint[] {
    const slices = [...this.#slices.objects.values()];
    const four = slices.filter(({ family }) => family === 'IPv4');
    const counted = four.some(({ endpoints }) => endpoints.length > 0) ? four : slices;
    return counted.flatMap(({ endpoints }) => endpoints);
  }

  onChange(listener: () => void): Disposable {
    return this.#slices.onChange(listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#slices[Symbol.asyncDispose]();
  }
}

function sliceOf(
  { addressType, endpoints, ports }: Record<string, unknown>,
  portName: string,
): Slice | undefined {
  if (addressType !== 'IPv4' && addressType !== 'IPv6') return undefined;
  const port = listOf(ports).find(({ name }) => name === portName)?.['port'];
  if (typeof port !== 'number') return undefined;
  return { family: addressType, endpoints: listOf(endpoints).map((endpoint) => endpointOf(endpoint, port)) };
}

function endpointOf(
  { addresses, hostname, nodeName, conditions }: Record<string, unknown>,
  port: number,
): Endpoint {
  const { ready } = isJsonObject(conditions) ? conditions : {};
  return {
    addresses: Array.isArray(addresses) ? addresses.filter((one) => typeof one === 'string') : [],
    hostname: typeof hostname === 'string' && hostname !== '' ? hostname : undefined,
    nodeName: typeof nodeName === 'string' ? nodeName : undefined,
    // An unknown state is to be taken for ready (API reference, EndpointConditions).
    ready: ready !== false,
    port,
  };
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
