import type { LookupFunction } from 'node:net';
import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { describeError } from '#registry/redact.ts';
import type { Logger } from '#service/logger.ts';
import { parseHostPort } from '#service/host-port.ts';

import { FIRST_ANSWER_MS } from './constants.ts';
import { DnsSource } from './dns-source.ts';
import { parseMemberEntry } from './member-entry.ts';
import type { MemberEntry } from './member-entry.ts';
import type { MemberList, MemberSource, WatchedSource } from './member-list.ts';
import { NameService } from './name-service.ts';

type EndpointsEntry = Extract<MemberEntry, { kind: 'endpoints' }>;

export interface DiscoveryParts {
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly names?: Pick<NameService, 'addresses' | 'services'>;
  /** Watches a Service's endpoints; only parts that may ask Kubernetes have it. */
  readonly watchEndpoints?: (entry: EndpointsEntry, onAnswer: () => void) => WatchedSource;
}

/** Who the members of a kind are: those named one by one, and those that DNS or Kubernetes names now. */
export class Discovery implements MemberList, AsyncDisposable {
  readonly #what: string;
  readonly #logger: Logger;
  readonly #fixed: readonly string[];
  readonly #sources: MemberSource[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #running = new AsyncDisposableStack();
  #current: readonly string[];

  private constructor(what: string, fixed: readonly string[], logger: Logger) {
    this.#what = what;
    this.#logger = logger;
    this.#fixed = fixed;
    this.#current = fixed;
  }

  /**
   * Begins to look, and waits a moment for the first answers: a part must start without them too.
   * @param what for log lines, such as `trackers`
   * @throws TypeError for an entry that is malformed, or of a kind that this part cannot follow
   */
  static async start(
    what: string,
    entries: readonly string[],
    parts: DiscoveryParts,
    signal: AbortSignal,
  ): Promise<Discovery> {
    const parsed = entries.map((text) => entryOf(what, text));
    const fixed = parsed.flatMap((entry) => (entry.kind === 'fixed' ? [entry.member] : []));
    const discovery = new Discovery(what, [...new Set(fixed)], parts.logger);
    await discovery.#follow(parsed, parts, signal);
    return discovery;
  }

  get current(): readonly string[] {
    return this.#current;
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** IP addresses of a discovered member's host. */
  addressesOf(host: string): readonly string[] | undefined {
    for (const source of this.#sources) {
      const known = source.addressesOf(host);
      if (known !== undefined && known.length > 0) return known;
    }
    return undefined;
  }

  /** The discovered member that has one of these addresses. */
  memberAt(addresses: ReadonlySet<string>): string | undefined {
    return this.#current.find((member) => {
      const { host = '' } = parseHostPort(member) ?? {};
      return (this.addressesOf(host) ?? [host]).some((address) => addresses.has(address));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await this.#running.disposeAsync();
  }

  async #follow(entries: readonly MemberEntry[], parts: DiscoveryParts, signal: AbortSignal): Promise<void> {
    const names = parts.names ?? (entries.some(isAnsweredByDns) ? new NameService() : undefined);
    const first = entries.flatMap((entry): Promise<void>[] => {
      if (isAnsweredByDns(entry)) return [this.#followDns(entry, { ...parts, names: names! })];
      if (entry.kind !== 'endpoints') return [];
      if (parts.watchEndpoints === undefined)
        throw new TypeError(
          `${this.#what}: only trackers and origins can watch endpoints; use dns+ or dnssrv+`,
        );
      const source = this.#running.use(parts.watchEndpoints(entry, () => this.#refresh()));
      this.#sources.push(source);
      return [source.synced.catch(() => undefined)];
    });
    if (first.length === 0) return;
    const waiting = new AbortController();
    const patience = sleep(FIRST_ANSWER_MS, undefined, {
      signal: AbortSignal.any([signal, waiting.signal]),
      ref: false,
    }).catch(() => undefined);
    await Promise.race([Promise.all(first), patience]);
    waiting.abort();
  }

  #followDns(
    entry: Extract<MemberEntry, { kind: 'addresses' | 'services' }>,
    { names, random }: DiscoveryParts & { names: Pick<NameService, 'addresses' | 'services'> },
  ): Promise<void> {
    const source = new DnsSource(entry, {
      names,
      random,
      onAnswer: () => this.#refresh(),
      onFailure: (error) =>
        this.#logger.warn(
          { what: this.#what, reason: describeError(error), members: this.#current.length },
          'the name service has no answer; the members last known stay',
        ),
    });
    this.#sources.push(this.#running.use(source));
    return source.start();
  }

  /** Fixed members keep their order and come first; the others have none of their own. */
  #refresh(): void {
    const found = this.#sources.flatMap(({ members }) => members ?? []).toSorted();
    const next = [...new Set([...this.#fixed, ...found])];
    const isSame = next.length === this.#current.length && next.every((one, at) => one === this.#current[at]);
    if (isSame) return;
    this.#current = next;
    this.#logger.info({ what: this.#what, members: next }, 'members have changed');
    for (const listener of this.#listeners) listener();
  }
}

function entryOf(what: string, text: string): MemberEntry {
  const entry = parseMemberEntry(text);
  if (entry === undefined)
    throw new TypeError(`${what}: "${text}" is none of host:port, dns+NAME:PORT and dnssrv+_PORT._tcp.NAME`);
  return entry;
}

function isAnsweredByDns(
  entry: MemberEntry,
): entry is Extract<MemberEntry, { kind: 'addresses' | 'services' }> {
  return entry.kind === 'addresses' || entry.kind === 'services';
}

/** For connections to members: what discovery knows needs no name service, which may be down. */
export function memberLookup(...discoveries: readonly Pick<Discovery, 'addressesOf'>[]): LookupFunction {
  return (hostname, options, callback) => {
    const known = discoveries.flatMap((discovery) => discovery.addressesOf(hostname) ?? []);
    if (known.length === 0) return lookup(hostname, options, callback);
    const all = known.map((address) => ({ address, family: isIP(address) }));
    if (options.all === true) return callback(null, all);
    callback(null, all[0]!.address, all[0]!.family);
  };
}
