import { sumOf } from './exposition.ts';
import type { Part, PartKind } from './part.ts';
import type { Usage } from './usage.ts';

const KINDS: readonly PartKind[] = ['agent', 'origin', 'tracker'];
const SOURCES = ['cache', 'peer', 'origin', 'upstream'] as const;

export type Source = (typeof SOURCES)[number];

interface Reading {
  readonly usage: Usage;
  /** Of the one who pulls there. */
  readonly handSeconds: number;
  readonly metrics: string;
}

/** What the parts of one kind used within the account's time. */
export interface Spent {
  readonly cpuSeconds: number;
  /** The kernel's part of it. */
  readonly systemSeconds: number;
  /** The largest of all, since its start. */
  readonly peakRssMiB: number;
  /** Payload bytes sent to peers. */
  readonly sentBytes: number;
  /** CPU time of those who pull there. */
  readonly handSeconds: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What was used from when each part was entered until it was closed. */
export class Account {
  readonly #open = new Map<Part, Reading>();
  readonly #spent: Record<PartKind, Mutable<Spent>>;
  readonly #sources: Record<Source, number> = { cache: 0, peer: 0, origin: 0, upstream: 0 };

  constructor() {
    const nothing = { cpuSeconds: 0, systemSeconds: 0, peakRssMiB: 0, sentBytes: 0, handSeconds: 0 };
    this.#spent = { agent: { ...nothing }, origin: { ...nothing }, tracker: { ...nothing } };
  }

  /** From now on the part's use counts. */
  async enter(part: Part, signal: AbortSignal): Promise<void> {
    const metrics = await part.metrics(signal);
    const [usage, hand] = await Promise.all([part.usage(), part.hand.process.usage()]);
    this.#open.set(part, { metrics, usage, handSeconds: hand.cpuSeconds });
  }

  async close(part: Part, signal: AbortSignal): Promise<void> {
    const before = this.#open.get(part);
    if (before === undefined) return;
    this.#open.delete(part);
    const spent = this.#spent[part.kind];
    const [usage, hand] = await Promise.all([part.usage(), part.hand.process.usage()]);
    spent.cpuSeconds += usage.cpuSeconds - before.usage.cpuSeconds;
    spent.systemSeconds += usage.systemSeconds - before.usage.systemSeconds;
    spent.handSeconds += hand.cpuSeconds - before.handSeconds;
    spent.peakRssMiB = Math.max(spent.peakRssMiB, usage.peakRssMiB);
    const metrics = await part.metrics(signal);
    const grown = (name: string, label?: string): number =>
      sumOf(metrics, name, label) - sumOf(before.metrics, name, label);
    spent.sentBytes += grown(`shoal_${part.kind}_swarm_sent_bytes_total`);
    for (const source of SOURCES) {
      this.#sources[source] += grown('shoal_agent_runtime_bytes_total', `source="${source}"`);
    }
  }

  async closeAll(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#open.keys()].map((part) => this.close(part, signal)));
  }

  spent(kind: PartKind): Spent {
    return this.#spent[kind];
  }

  /** Of all parts together. */
  get cpuSeconds(): number {
    return KINDS.reduce((sum, kind) => sum + this.#spent[kind].cpuSeconds, 0);
  }

  /** Bytes that runtimes got, by where they came from. */
  get sources(): Readonly<Record<Source, number>> {
    return this.#sources;
  }
}
