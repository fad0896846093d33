import type { Dispatcher } from 'undici';
import type { Digest } from '#registry/digest.ts';
import { describeKeyMismatch } from '#swarm/announce/key-mismatch.ts';
import { owners } from '#swarm/core/ring.ts';
import { OriginHealth } from '#service/origin-health.ts';
import type { RingPlace } from './ring-place.ts';
import { ASK_READS_MS, FORWARD_MS, MANIFEST_LIMIT } from './defaults.ts';
import type { OriginEvents } from './events.ts';

export interface OwnershipParts {
  /** Connections that prove cluster membership. */
  readonly dispatcher: Dispatcher;
  readonly now: () => number;
  readonly random: () => number;
  readonly events: Pick<OriginEvents, 'lost' | 'forwarded'>;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

export interface OwnershipOptions {
  readonly ring: RingPlace;
  readonly scheme: 'http' | 'https';
}

/** A request as it is handed on. */
export interface Handed {
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Another origin's answer, as it is handed back. */
export interface Relayed {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer;
}

/** Headers of an answer that are the answer's and not the connection's. */
const HANDED_BACK: ReadonlySet<string> = new Set([
  'content-type',
  'docker-content-digest',
  'www-authenticate',
  'retry-after',
  'link',
  'shoal-verdict',
  'shoal-upstream',
  'shoal-anonymous',
]);
const BODY_LIMIT = MANIFEST_LIMIT + 64 * 1024;

/**
 * Which origin answers for what: the ring's owner, and the next in order when it is lost. A request is handed on
 * once at most.
 */
export class Ownership {
  readonly #parts: OwnershipParts;
  readonly #options: OwnershipOptions;
  readonly #health: OriginHealth;

  constructor(parts: OwnershipParts, options: OwnershipOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#health = new OriginHealth(parts.now, parts.random);
  }

  isOwner(key: string): boolean {
    return (
      (owners(key, this.#options.ring.members)[0] ?? this.#options.ring.self) === this.#options.ring.self
    );
  }

  /** Those who answer before this one does. */
  before(key: string): string[] {
    const order = owners(key, this.#options.ring.members);
    return order
      .slice(0, Math.max(0, order.indexOf(this.#options.ring.self)))
      .filter((member) => this.#health.isUsable(member));
  }

  /** Another origin's answer; undefined where it is lost, or has none of its own. @throws the signal's reason */
  async forward(member: string, handed: Handed, signal: AbortSignal): Promise<Relayed | undefined> {
    const either = AbortSignal.any([signal, AbortSignal.timeout(FORWARD_MS)]);
    try {
      const relayed = await this.#ask(member, handed, either);
      const isUsable = relayed.status < 500 || relayed.headers['shoal-upstream'] !== undefined;
      if (isUsable) this.#health.succeeded(member);
      this.#parts.events.forwarded(isUsable ? 'answered' : 'lost');
      return isUsable ? relayed : undefined;
    } catch (error) {
      signal.throwIfAborted();
      this.#lost(member, error);
      this.#parts.events.forwarded('lost');
      return undefined;
    }
  }

  /** Another origin that reads the blob for that registry now: one that came back to its place must not read it again. */
  async readerElsewhere(digest: Digest, registry: string): Promise<string | undefined> {
    const path = `/v1/reads/${digest}?${new URLSearchParams({ registry }).toString()}`;
    const answers = await this.askOthers(path);
    return answers.find(({ status }) => status === 204)?.member;
  }

  /** What the others say, those that can be reached in a moment. */
  async askOthers(path: string): Promise<(Relayed & { readonly member: string })[]> {
    const others = this.#options.ring.members.filter(
      (member) => member !== this.#options.ring.self && this.#health.isUsable(member),
    );
    const signal = AbortSignal.any([this.#parts.life, AbortSignal.timeout(ASK_READS_MS)]);
    const ask = async (member: string): Promise<(Relayed & { member: string })[]> => {
      try {
        const relayed = await this.#ask(member, { path, headers: {} }, signal);
        this.#health.succeeded(member);
        return [{ member, ...relayed }];
      } catch (error) {
        this.#parts.life.throwIfAborted();
        this.#lost(member, error);
        return [];
      }
    };
    return (await Promise.all(others.map(ask))).flat();
  }

  #lost(member: string, error: unknown): void {
    this.#health.failed(member);
    const mismatch = describeKeyMismatch(error);
    this.#parts.events.lost(member, mismatch === undefined ? error : new Error(mismatch, { cause: error }));
  }

  async #ask(member: string, { path, headers }: Handed, signal: AbortSignal): Promise<Relayed> {
    const response = await this.#parts.dispatcher.request({
      origin: `${this.#options.scheme}://${member}`,
      path,
      method: 'GET',
      headers: { ...headers, 'shoal-forwarded': '1' },
      signal,
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > BODY_LIMIT) throw new Error(`the answer is longer than ${BODY_LIMIT} bytes`);
      chunks.push(chunk);
    }
    const kept = Object.entries(response.headers).flatMap(([name, value]) =>
      value !== undefined && HANDED_BACK.has(name) ? [[name, value] as const] : [],
    );
    return { status: response.statusCode, headers: Object.fromEntries(kept), body: Buffer.concat(chunks) };
  }
}
