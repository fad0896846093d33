import { backoffMs } from '#registry/retry.ts';
import { formatHostPort } from '#service/host-port.ts';

import {
  ANSWER_JITTER,
  FAILED_ANSWER_MS,
  LONGEST_ANSWER_MS,
  LONGEST_FAILED_ANSWER_MS,
  MAX_MEMBERS,
  SHORTEST_ANSWER_MS,
} from './constants.ts';
import type { MemberEntry } from './member-entry.ts';
import type { MemberSource } from './member-list.ts';
import type { NameService } from './name-service.ts';

export interface DnsSourceParts {
  readonly names: Pick<NameService, 'addresses' | 'services'>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onAnswer: () => void;
  /** Told of the first failure in a row only. */
  readonly onFailure: (error: unknown) => void;
}

interface Found {
  readonly members: readonly string[];
  /** By host; only for members that go by a name. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Seconds. */
  readonly ttl: number | undefined;
}

/**
 * Members by DNS, asked for again whenever the last answer is over. Without an answer, or with an empty one, the last
 * known members stay: who is gone is found out by calling them.
 */
export class DnsSource implements MemberSource, Disposable {
  readonly #entry: Extract<MemberEntry, { kind: 'addresses' | 'services' }>;
  readonly #parts: DnsSourceParts;
  #found: Found | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(entry: Extract<MemberEntry, { kind: 'addresses' | 'services' }>, parts: DnsSourceParts) {
    this.#entry = entry;
    this.#parts = parts;
  }

  get members(): readonly string[] | undefined {
    return this.#found?.members;
  }

  addressesOf(host: string): readonly string[] | undefined {
    return this.#found?.addresses.get(host);
  }

  /** Asks, now and from then on. Resolves after the first answer, also one that is none. */
  async start(): Promise<void> {
    const wait = await this.#ask();
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.start(), wait).unref();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** @returns the time until the next question is due. Never rejects. */
  async #ask(): Promise<number> {
    const { random, onAnswer, onFailure } = this.#parts;
    try {
      this.#found = await this.#resolve();
      this.#failures = 0;
      if (!this.#closed) onAnswer();
      return answerTime(this.#found.ttl) * (1 - ANSWER_JITTER * random());
    } catch (error) {
      this.#failures++;
      if (this.#failures === 1 && !this.#closed) onFailure(error);
      return backoffMs(this.#failures, { baseMs: FAILED_ANSWER_MS, capMs: LONGEST_FAILED_ANSWER_MS, random });
    }
  }

  async #resolve(): Promise<Found> {
    const entry = this.#entry;
    if (entry.kind === 'services') return this.#resolveServices(entry.query, entry.name);
    const { records, ttl } = await this.#parts.names.addresses(entry.name);
    const members = records.slice(0, MAX_MEMBERS).map((host) => formatHostPort({ host, port: entry.port }));
    return { members, addresses: new Map(), ttl };
  }

  /** A target is called by its own labels and the name as configured, so that all call it alike in any cluster domain. */
  async #resolveServices(query: string, configured: string): Promise<Found> {
    const { names } = this.#parts;
    const { records, name } = await names.services(query);
    // The query is `_port._protocol.<name>`: two labels more than what its targets end in.
    const domain = name.split('.').slice(2).join('.');
    const targets = records.slice(0, MAX_MEMBERS).map(({ host, port }) => {
      const own = host.endsWith(`.${domain}`) ? host.slice(0, -domain.length) : undefined;
      return { host, port, member: own === undefined ? host : `${own}${configured}` };
    });
    const answers = await Promise.allSettled(targets.map(({ host }) => names.addresses(`${host}.`)));
    const failures = answers.filter((answer) => answer.status === 'rejected');
    if (failures.length === answers.length) throw failures[0]?.reason;
    const found = targets.flatMap(({ member, port }, at) => {
      const answer = answers[at];
      // One that has no address for now says nothing of the others.
      const { records: addresses, ttl } =
        answer?.status === 'fulfilled' ? answer.value : { records: this.addressesOf(member), ttl: undefined };
      return addresses === undefined ? [] : [{ host: member, port, addresses, ttl }];
    });
    const ttls = found.flatMap(({ ttl }) => ttl ?? []);
    return {
      members: found.map(formatHostPort),
      addresses: new Map(found.map(({ host, addresses }) => [host, addresses])),
      ttl: ttls.length > 0 ? Math.min(...ttls) : undefined,
    };
  }
}

function answerTime(ttl: number | undefined): number {
  const lasts = ttl === undefined ? LONGEST_ANSWER_MS : ttl * 1000;
  return Math.max(SHORTEST_ANSWER_MS, Math.min(LONGEST_ANSWER_MS, lasts));
}
