import { createHmac, randomBytes } from 'node:crypto';
import {
  ANONYMOUS_REFUSAL_MS,
  ANONYMOUS_REFUSALS,
  ANONYMOUS_TOKEN_MS,
  OUTAGE_MS,
  OUTAGES,
} from '#agent/defaults.ts';
import { LruMap } from '#service/lru-map.ts';
import { SharedWork } from '#agent/shared-work.ts';
import type { Caller, Content, HeadAnswer, Refusal, Told, Upstream } from '#agent/upstream.ts';

/** What a caller asks to read; the HEAD that decides names exactly this. */
export interface Question {
  readonly resource: Content;
  readonly accept?: string | undefined;
  /** Ask upstream even if the caller's right is fresh: its answer is needed for more (a tag's digest, a size). */
  readonly always?: boolean;
}

/** May the caller read that repository? A refusal is final whatever is cached (design, "Rights"). */
export type Verdict =
  | { readonly outcome: 'positive'; readonly by: 'cache' }
  /** Where upstream answered for this very resource, and not for another of the repository. */
  | { readonly outcome: 'positive'; readonly by: 'upstream'; readonly told: Told }
  /** Upstream has just served an origin that asked with this caller's credential. */
  | { readonly outcome: 'positive'; readonly by: 'origin' }
  /** Upstream cannot be reached; an earlier verdict, or the repository's public standing, stands in. */
  | { readonly outcome: 'positive'; readonly by: 'stale'; readonly cause: Error }
  | { readonly outcome: 'refused'; readonly refusal: Refusal }
  | { readonly outcome: 'throttled'; readonly retryAfter?: string | undefined }
  | { readonly outcome: 'unreachable'; readonly cause: Error };

export interface VerdictParts {
  readonly upstream: Pick<Upstream, 'head'>;
  /** Whether anyone may read the repository, as origins found: when (ms since the epoch) it was last served anonymously. */
  readonly anonymous: (
    registry: string,
    repository: string,
    signal: AbortSignal,
  ) => Promise<number | undefined>;
  readonly now: () => number;
  /** Told of each verdict, for counting. */
  readonly onVerdict?: (verdict: Verdict) => void;
}

export interface VerdictOptions {
  readonly verdictLifetimeMs: number;
  readonly staleAuthMs: number;
  readonly maxVerdicts: number;
}

interface Asked {
  readonly resource: string;
  readonly head: HeadAnswer;
}

/**
 * Who may read which repository, by upstream's own word. Kept under a hash keyed by a secret of this process,
 * so that neither memory nor a dump of it holds a credential.
 */
export class Verdicts {
  readonly #parts: VerdictParts;
  readonly #options: VerdictOptions;
  readonly #secret = randomBytes(32);
  readonly #positive: LruMap<string, number>;
  /** When upstream last refused them: an earlier yes to others says nothing of them any more. */
  readonly #refused: LruMap<string, number>;
  readonly #refusedAnonymous = new LruMap<string, { refusal: Refusal; until: number }>(ANONYMOUS_REFUSALS);
  readonly #outages = new LruMap<string, { cause: Error; until: number }>(OUTAGES);
  readonly #asking = new SharedWork<Asked>();

  constructor(parts: VerdictParts, options: VerdictOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#positive = new LruMap(options.maxVerdicts);
    this.#refused = new LruMap(options.maxVerdicts);
  }

  /** One HEAD at most; callers with the same credential and repository share it while it runs. */
  async check(caller: Caller, question: Question, signal: AbortSignal): Promise<Verdict> {
    const verdict = await this.#decide(caller, question, signal);
    this.#parts.onVerdict?.(verdict);
    return verdict;
  }

  /** True while a positive verdict needs no HEAD. */
  isFresh(caller: Caller): boolean {
    const at = this.#positive.get(this.#key(caller));
    return at !== undefined && this.#parts.now() - at < this.#options.verdictLifetimeMs;
  }

  /** Records that upstream has just served this caller, seen elsewhere than in a HEAD of ours. */
  allow(caller: Caller): void {
    this.#positive.set(this.#key(caller), this.#parts.now());
  }

  /** Where this node has no answer of upstream's, an origin's that has just asked in the caller's name counts for it. */
  heed(caller: Caller, verdict: Verdict, word: OriginWord): Verdict {
    if (verdict.outcome !== 'unreachable' && verdict.outcome !== 'throttled') return verdict;
    if (word.kind === 'refused') {
      this.revoke(caller, word.refusal);
      return { outcome: 'refused', refusal: word.refusal };
    }
    if (!('positive' in word) || !word.positive) return verdict;
    this.allow(caller);
    return { outcome: 'positive', by: 'origin' };
  }

  /** Records that upstream has just refused this caller: an earlier yes counts no more. @param refusal as upstream told it, where that is known */
  revoke(caller: Caller, refusal?: Refusal): void {
    const key = this.#key(caller);
    this.#positive.delete(key);
    // What is merely not there says nothing of the repository.
    if (refusal?.status === 404) return;
    this.#refused.set(key, this.#parts.now() - (asksForToken(caller, refusal) ? ANONYMOUS_TOKEN_MS : 0));
  }

  async #decide(caller: Caller, question: Question, signal: AbortSignal): Promise<Verdict> {
    if (question.always !== true && this.isFresh(caller)) return { outcome: 'positive', by: 'cache' };
    const refusal = this.#rememberedRefusal(caller);
    if (refusal !== undefined) return { outcome: 'refused', refusal };
    const outage = this.#outages.get(caller.registry);
    if (outage !== undefined && this.#parts.now() < outage.until) {
      const verdict = await this.#standIn(caller, outage.cause, signal);
      if (verdict.outcome !== 'unreachable') return verdict;
    }
    const { head, resource } = await this.#ask(caller, question, signal);
    switch (head.kind) {
      case 'ok':
        return resource === resourceKey(question)
          ? { outcome: 'positive', by: 'upstream', told: head.told }
          : { outcome: 'positive', by: 'cache' };
      case 'refused':
        return { outcome: 'refused', refusal: head.refusal };
      case 'throttled':
        return { outcome: 'throttled', retryAfter: head.retryAfter };
      case 'broken':
        return { outcome: 'unreachable', cause: head.cause };
      default:
        return this.#standIn(caller, head.cause, signal);
    }
  }

  async #ask(caller: Caller, question: Question, signal: AbortSignal): Promise<Asked> {
    const key = this.#key(caller);
    const resource = resourceKey(question);
    if (question.always !== true) {
      const asked = await this.#asking.run(key, signal, (shared) => this.#head(caller, question, shared));
      if (asked.resource === resource || !concernsOnlyResource(asked.head)) return asked;
    }
    return this.#asking.run(`${key} ${resource}`, signal, (shared) => this.#head(caller, question, shared));
  }

  async #head(caller: Caller, question: Question, signal: AbortSignal): Promise<Asked> {
    const { resource, accept } = question;
    const head = await this.#parts.upstream.head({ caller, resource, accept }, signal);
    if (head.kind === 'ok') this.allow(caller);
    if (head.kind === 'unreachable') this.#noteOutage(caller.registry, head.cause);
    else this.#outages.delete(caller.registry);
    if (head.kind === 'refused') this.#noteRefusal(caller, head.refusal);
    return { resource: resourceKey(question), head };
  }

  /** For a moment nobody with an earlier verdict waits for the registry's time-out again. */
  #noteOutage(registry: string, cause: Error): void {
    this.#outages.set(registry, { cause, until: this.#parts.now() + OUTAGE_MS });
  }

  #noteRefusal(caller: Caller, refusal: Refusal): void {
    this.revoke(caller, refusal);
    if (refusal.status !== 401 || caller.authorization !== undefined) return;
    const until = this.#parts.now() + ANONYMOUS_REFUSAL_MS;
    this.#refusedAnonymous.set(repositoryKey(caller), { refusal, until });
  }

  #rememberedRefusal(caller: Caller): Refusal | undefined {
    const known = this.#anonymousRefusal(caller);
    return known !== undefined && this.#parts.now() < known.until ? known.refusal : undefined;
  }

  /** The last 401 to callers without a credential, of whom this one is. */
  #anonymousRefusal(caller: Caller): { refusal: Refusal; until: number } | undefined {
    return caller.authorization === undefined ? this.#refusedAnonymous.get(repositoryKey(caller)) : undefined;
  }

  /** Upstream is down: an earlier positive verdict of the same credential counts, or that the repository is anyone's. */
  async #standIn(caller: Caller, cause: Error, signal: AbortSignal): Promise<Verdict> {
    const own = this.#key(caller);
    const nobody = this.#key({ ...caller, authorization: undefined });
    const refusedAt = Math.max(...[own, nobody].map((key) => this.#refused.get(key) ?? -Infinity));
    const isAnyones = (at: number | undefined): boolean =>
      at !== undefined && at > refusedAt && this.#isUsable(at);
    const known = this.#isUsable(this.#positive.get(own)) || isAnyones(this.#positive.get(nobody));
    if (known || isAnyones(await this.#parts.anonymous(caller.registry, caller.repository, signal)))
      return { outcome: 'positive', by: 'stale', cause };
    // containerd asks without its credential first, and sends it only when it is asked who it is.
    const refusal = this.#anonymousRefusal(caller)?.refusal;
    return refusal === undefined ? { outcome: 'unreachable', cause } : { outcome: 'refused', refusal };
  }

  #isUsable(at: number | undefined): boolean {
    return at !== undefined && this.#parts.now() - at < this.#options.staleAuthMs;
  }

  #key(caller: Caller): string {
    return createHmac('sha256', this.#secret)
      .update(`${caller.authorization ?? ''}\0${caller.registry}\0${caller.repository}`)
      .digest('base64');
  }
}

/** What an origin's answer tells of the caller's right. */
type OriginWord =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'content' | 'swarm'; readonly positive: boolean }
  | { readonly kind: 'unreachable' | 'absent' };

/** A 401 concerns the credential; any other refusal may concern just the resource that was asked for. */
function concernsOnlyResource(head: HeadAnswer): boolean {
  return head.kind === 'refused' && head.refusal.status !== 401;
}

/** A registry with tokens sends away who has none, also where anybody may have one: that says little of the repository. */
function asksForToken({ authorization }: Caller, refusal: Refusal | undefined): boolean {
  return (
    authorization === undefined &&
    refusal?.status === 401 &&
    refusal.challenges.some((challenge) => /^bearer\b/iu.test(challenge))
  );
}

function repositoryKey({ registry, repository }: Caller): string {
  return `${registry}\0${repository}`;
}

function resourceKey({ resource, accept }: Question): string {
  return JSON.stringify([resource, accept]);
}
