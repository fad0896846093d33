import { hostname } from 'node:os';
import type { Dispatcher } from 'undici';

import { describeError } from '#registry/redact.ts';
import { formatHostPort } from '#service/host-port.ts';
import type { Logger } from '#service/logger.ts';
import type { Topology } from '#swarm/core/handout.ts';

import type { KubernetesApi } from './api.ts';
import { ServiceEndpoints } from './endpoints.ts';
import type { Endpoint } from './endpoints.ts';
import { EventRecorder } from './event-recorder.ts';
import { LeaderElection } from './leader-election.ts';
import { nodeAt, topologyOf, watchNodes } from './nodes.ts';
import type { TopologyLabels } from './nodes.ts';
import { AgentClient } from './preheat/agent-client.ts';
import { PreheatController } from './preheat/controller.ts';
import type { PreheatSummary } from './preheat/controller.ts';
import type { ResourceWatchParts } from './resource-watch.ts';
import { StartupTaint } from './startup-taint.ts';

export interface ControllersOptions extends TopologyLabels {
  /** The agents' headless Service. */
  readonly agentService: string;
  /** Name of the Lease by which one tracker leads. */
  readonly lease: string;
  /** Whether the start-up taint is lifted. */
  readonly startupTaint: boolean;
}

export interface ControllersParts {
  readonly api: KubernetesApi;
  /** Connections that prove cluster membership. Not closed here. */
  readonly dispatcher: Dispatcher;
  readonly scheme: 'http' | 'https';
  readonly logger: Logger;
  readonly onLeading: (leads: boolean) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Port of an agent's Service on which members are answered. */
const AGENT_PORT_NAME = 'members';
const COMPONENT = 'shoal-tracker';

/** What a tracker does in a Kubernetes cluster beside tracking. */
export interface Controllers extends AsyncDisposable {
  /** Where a node is, as far as its labels say. */
  topologyOf(node: string): Topology;
  /** The node that has this address itself; pods have others. */
  nodeAt(address: string): string | undefined;
  /** Something that whoever runs the cluster should know of a node. */
  reportNode(node: string, reason: string, message: string): void;
  readonly leads: boolean;
  /** Of the preheats that run here; undefined while another leads. */
  readonly preheats: PreheatSummary | undefined;
  /** Resolves when the nodes are known. */
  readonly located: Promise<void>;
}

/** Watches the nodes, and runs the controllers while this process leads. */
export function startControllers(parts: ControllersParts, options: ControllersOptions): Controllers {
  const { api, logger } = parts;
  const running = new AsyncDisposableStack();
  const life = new AbortController();
  const failed = (what: string) => (error: unknown) =>
    logger.warn({ what, reason: describeError(error) }, 'Kubernetes does not answer as it should; trying on');
  const watching = (what: string): ResourceWatchParts => ({ ...parts, onFailure: failed(what) });
  const events = new EventRecorder(
    {
      ...parts,
      signal: life.signal,
      onFailure: (reason) => logger.debug({ reason }, 'an Event is not written'),
    },
    COMPONENT,
  );
  const nodes = running.use(watchNodes(watching('nodes')));
  const cluster: Cluster = { nodes: () => nodes.objects, events, watching, preheats: undefined };
  const election = running.use(
    new LeaderElection(
      { ...parts, onChange: (leads) => parts.onLeading(leads), onFailure: failed('lease') },
      { namespace: api.namespace, name: options.lease, identity: `${hostname()}_${crypto.randomUUID()}` },
      (signal) => lead(parts, options, cluster, signal),
    ),
  );
  running.defer(() => life.abort(new Error('the tracker stops')));
  return {
    topologyOf: (node) => topologyOf(nodes.objects, node, options),
    nodeAt: (address) => nodeAt(nodes.objects, address),
    reportNode: (name, reason, message) => {
      const uid = nodes.objects.get(name)?.uid;
      if (uid === undefined) return;
      events.record({ apiVersion: 'v1', kind: 'Node', name, uid }, { type: 'Warning', reason, message });
    },
    located: nodes.synced,
    get preheats() {
      return cluster.preheats?.summary;
    },
    get leads() {
      return election.leads;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface Cluster {
  readonly nodes: () => ReturnType<typeof watchNodes>['objects'];
  readonly events: EventRecorder;
  readonly watching: (what: string) => ResourceWatchParts;
  /** While this process leads. */
  preheats: PreheatController | undefined;
}

/** Runs until the signal is aborted. */
async function lead(
  parts: ControllersParts,
  { agentService, startupTaint }: ControllersOptions,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<void> {
  const { api, logger } = parts;
  const { nodes, events, watching } = cluster;
  await using term = new AsyncDisposableStack();
  const place = { namespace: api.namespace, service: agentService, portName: AGENT_PORT_NAME };
  const agents = term.use(new AgentsByNode(watching('agents'), place));
  term.defer(() => void (cluster.preheats = undefined));
  cluster.preheats = term.use(
    new PreheatController({
      ...parts,
      ...watching('imagepreheats'),
      api,
      events,
      agents: new AgentClient(parts),
      nodes,
      agentOf: (node) => agents.addressOf(node),
    }),
  );
  const taint = new StartupTaint({
    ...parts,
    nodes,
    isServed: (node) => agents.addressOf(node) !== undefined,
    onLifted: (node) => logger.info({ node }, 'start-up taint lifted: the agent of the node serves'),
    onFailure: (node, error) =>
      logger.warn({ node, reason: describeError(error) }, 'start-up taint not lifted'),
  });
  const lifting = startupTaint ? taint.run(signal) : undefined;
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await lifting;
}

/** The agents that serve, by the node they run on. */
class AgentsByNode implements AsyncDisposable {
  readonly #endpoints: ServiceEndpoints;
  #byNode: ReadonlyMap<string, Endpoint> = new Map();

  constructor(parts: ResourceWatchParts, place: ConstructorParameters<typeof ServiceEndpoints>[1]) {
    this.#endpoints = new ServiceEndpoints(parts, place);
    this.#endpoints.onChange(() => {
      const ready = this.#endpoints.current.filter((endpoint) => endpoint.ready);
      this.#byNode = new Map(
        ready.flatMap((endpoint) => (endpoint.nodeName ? [[endpoint.nodeName, endpoint]] : [])),
      );
    });
  }

  /** `host:port` of its member listener. */
  addressOf(node: string): string | undefined {
    const endpoint = this.#byNode.get(node);
    const [host] = endpoint?.addresses ?? [];
    return endpoint === undefined || host === undefined
      ? undefined
      : formatHostPort({ host, port: endpoint.port });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#endpoints[Symbol.asyncDispose]();
  }
}
