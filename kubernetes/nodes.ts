import { isJsonObject } from '#registry/json-object.ts';
import type { Topology } from '#swarm/core/handout.ts';

import { ResourceWatch } from './resource-watch.ts';
import type { ResourceWatchParts } from './resource-watch.ts';

/** The taint of a node whose agent does not serve yet. */
export const STARTUP_TAINT = 'node.shoal.dev/agent-not-ready';

/** Labels that tell where a node is. */
export interface TopologyLabels {
  readonly zoneLabel: string;
  readonly regionLabel: string;
  readonly rackLabel: string;
}

/** What is kept of a Node: its images and conditions, which make most of it, are not. */
export interface ClusterNode {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of its own, not of its pods. */
  readonly addresses: readonly string[];
  /** `os/architecture`. */
  readonly platform: string;
  readonly hasStartupTaint: boolean;
}

/** The cluster's nodes, kept up to date. */
export function watchNodes(parts: ResourceWatchParts): ResourceWatch<ClusterNode> {
  return new ResourceWatch(parts, { path: '/api/v1/nodes', keep: clusterNodeOf });
}

/** Where the node of that name is, as far as its labels say. */
export function topologyOf(
  nodes: ReadonlyMap<string, ClusterNode>,
  name: string,
  { zoneLabel, regionLabel, rackLabel }: TopologyLabels,
): Topology {
  const labels = nodes.get(name)?.labels ?? {};
  return { node: name, rack: labels[rackLabel], zone: labels[zoneLabel], region: labels[regionLabel] };
}

/** The node that has this address itself. */
export function nodeAt(nodes: ReadonlyMap<string, ClusterNode>, address: string): string | undefined {
  for (const { name, addresses } of nodes.values()) if (addresses.includes(address)) return name;
  return undefined;
}

function clusterNodeOf({ metadata, spec, status }: Record<string, unknown>): ClusterNode | undefined {
  const { name, uid, labels } = isJsonObject(metadata) ? metadata : {};
  if (typeof name !== 'string') return undefined;
  const { taints } = isJsonObject(spec) ? spec : {};
  const { nodeInfo, addresses } = isJsonObject(status) ? status : {};
  const { operatingSystem, architecture } = isJsonObject(nodeInfo) ? nodeInfo : {};
  const texts = textsOf(labels);
  const os = texts['kubernetes.io/os'] ?? text(operatingSystem, 'linux');
  return {
    name,
    uid: text(uid, ''),
    labels: texts,
    addresses: addressesOf(addresses),
    platform: `${os}/${texts['kubernetes.io/arch'] ?? text(architecture, 'amd64')}`,
    hasStartupTaint: startupTaints(taints),
  };
}

function startupTaints(taints: unknown): boolean {
  return (
    Array.isArray(taints) && taints.some((taint) => isJsonObject(taint) && taint['key'] === STARTUP_TAINT)
  );
}

function addressesOf(given: unknown): string[] {
  if (!Array.isArray(given)) return [];
  return given.flatMap((entry) =>
    isJsonObject(entry) && typeof entry['address'] === 'string' ? [entry['address']] : [],
  );
}

function textsOf(labels: unknown): Record<string, string> {
  if (!isJsonObject(labels)) return {};
  return Object.fromEntries(
    Object.entries(labels).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}
