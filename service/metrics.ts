import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Histogram } from 'prom-client';

/** The metrics of one process. Names are `shoal_<part>_<thing>_<unit>`; no label may grow with images, digests or peers. */
export interface Metrics {
  readonly part: string;
  /** Each creator returns the metric of that name, made at the first call. `name` goes without `shoal_<part>_`. */
  counter<L extends string = never>(name: string, help: string, labels?: readonly L[]): Counter<L>;
  /** `collect` is run at each scrape to set the value. */
  gauge<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (gauge: Gauge<L>) => void,
  ): Gauge<L>;
  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly L[],
  ): Histogram<L>;
  /** The Prometheus text format, with its content type. */
  expose(): Promise<{ contentType: string; text: string }>;
}

/** Seconds from a millisecond to ten minutes, for requests and pulls alike. */
export const SECONDS_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600] as const;

/** Registries with a label of their own; further ones are `other`. */
const LABELLED_REGISTRIES = 50;

/** Gives registries as a label: the first fifty have their own, so that the label's values stay few. */
export function registryLabel(): (registry: string) => string {
  const labelled = new Set<string>();
  return (registry) => {
    if (labelled.has(registry)) return registry;
    if (labelled.size >= LABELLED_REGISTRIES) return 'other';
    labelled.add(registry);
    return registry;
  };
}

/** Of these prom-client wakes the process a hundred times a second, which is most of what an idle one does. */
const SAMPLED_LAGS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];
const NEVER_MS = 2 ** 31 - 1;

/** CPU, memory, garbage, and how long the event loop lagged when it was last scraped. */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  for (const lag of SAMPLED_LAGS) registry.removeSingleMetric(`nodejs_eventloop_lag_${lag}_seconds`);
}

/**
 * @param options.process whether the process' own metrics (CPU, memory, event loop) are collected; default true.
 */
export function createMetrics(part: string, options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process ?? true) collectProcessMetrics(registry);
  const full = (name: string): string => `shoal_${part}_${name}`;
  const base = (name: string, help: string) => ({ name: full(name), help, registers: [registry] });
  return {
    part,
    counter<L extends string>(name: string, help: string, labels: readonly L[] = []): Counter<L> {
      const known = registry.getSingleMetric(full(name));
      return known instanceof Counter ? known : new Counter<L>({ ...base(name, help), labelNames: labels });
    },
    gauge<L extends string>(
      name: string,
      help: string,
      labels: readonly L[] = [],
      set?: (gauge: Gauge<L>) => void,
    ): Gauge<L> {
      const known = registry.getSingleMetric(full(name));
      if (known instanceof Gauge) return known;
      const gauge: Gauge<L> = new Gauge<L>({
        ...base(name, help),
        labelNames: labels,
        ...(set && { collect: () => set(gauge) }),
      });
      return gauge;
    },
    histogram<L extends string>(
      name: string,
      help: string,
      buckets: readonly number[],
      labels: readonly L[] = [],
    ): Histogram<L> {
      const known = registry.getSingleMetric(full(name));
      if (known instanceof Histogram) return known;
      return new Histogram<L>({ ...base(name, help), buckets: [...buckets], labelNames: labels });
    },
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
