import type { Agent } from './part.ts';
import { total } from './metrics.ts';

const SOURCES = ['cache', 'peer', 'origin', 'upstream'] as const;

export type BytesBySource = Record<(typeof SOURCES)[number] | 'all', number>;

/** Body bytes that agents sent to runtimes, by where the agent had them from. */
export async function bytesToRuntimes(agents: readonly Agent[]): Promise<BytesBySource> {
  const sum: BytesBySource = { cache: 0, peer: 0, origin: 0, upstream: 0, all: 0 };
  for (const samples of await Promise.all(agents.map((agent) => agent.metrics()))) {
    for (const source of SOURCES) {
      const bytes = total(samples, 'shoal_agent_runtime_bytes_total', { source });
      sum[source] += bytes;
      sum.all += bytes;
    }
  }
  return sum;
}
