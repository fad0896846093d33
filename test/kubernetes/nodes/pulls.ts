import { expect, test } from 'vitest';

import { agentMetrics } from './shoal.ts';
import { total } from '../../runtimes/metrics.ts';
import type { Rig } from './rig.ts';
import { createDaemonSet, daemonSetStarts, deleteDaemonSet } from './workloads.ts';

const MIB = 1024 * 1024;
/** 256 MiB in all. */
const LAYERS = [128 * MIB, 64 * MIB, 48 * MIB, 16 * MIB];
/** Of the link to the registry. */
const RATE = 30_000_000;

export function pulls(cluster: () => Rig): void {
  test('256 MiB on every node at once: the registry sends each byte once', async () => {
    const rig = cluster();
    const { public: upstream } = rig.upstreams;
    const { image, reference } = await upstream.push({ repository: 'team/large', layers: LAYERS });
    upstream.link.rate = RATE;
    const crossed = upstream.link.bytes;
    const began = performance.now();
    await createDaemonSet(rig, { name: 'large', image: reference });
    const started = await daemonSetStarts(rig, 'large');
    const seconds = (performance.now() - began) / 1000;
    upstream.link.rate = undefined;

    expect(started.map(({ digest }) => digest)).toEqual(rig.nodes.map(() => image.index.digest));
    for (const { pulled } of started)
      expect(pulled).toMatch(/^Successfully pulled image ".*team\/large:v1" in /u);
    const sent = upstream.registry.blobBytes();
    // The first layers are those of other images too, which nodes may have. On a machine that stands still, an agent reads a piece itself.
    for (const { digest, size } of image.layers.slice(-LAYERS.length)) {
      expect(sent.get(digest)).toBeGreaterThanOrEqual(size);
      expect(sent.get(digest)).toBeLessThan(1.01 * size);
    }
    const metrics = await Promise.all(rig.nodes.map((node) => agentMetrics(rig, node)));
    const sum = (name: string, labels: Record<string, string>): number =>
      metrics.reduce((all, samples) => all + total(samples, name, labels), 0);
    const delivered = (source: string): number => sum('shoal_agent_runtime_bytes_total', { source });
    // Each node is a zone of its own, by its label; agents know it from the tracker.
    expect(sum('shoal_agent_peer_received_bytes_total', { locality: 'cross-zone' })).toBeGreaterThan(0);
    expect(sum('shoal_agent_peer_received_bytes_total', { locality: 'unknown' })).toBe(0);
    console.log(
      `${image.totalBytes} bytes on ${rig.nodes.length} nodes in ${seconds.toFixed(1)} s over ${RATE} bytes/s; ` +
        `the registry sent ${upstream.link.bytes - crossed}; ` +
        `from peers ${delivered('peer')}, origins ${delivered('origin')}, upstream ${delivered('upstream')}`,
    );
    for (const { pulled } of started) console.log(pulled);
    await deleteDaemonSet(rig, 'large');
  });
}
