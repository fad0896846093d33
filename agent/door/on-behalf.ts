import { asError } from '#registry/as-error.ts';
import type { AccessWish, ChallengeAnswerer } from '#registry/challenge-answerer.ts';
import { ociErrorBody, unauthorized, OciError } from '#registry/oci-error.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { BlobAccess } from '#agent/pull/blob-access.ts';
import type { ManifestAccess } from '#agent/pull/manifest-access.ts';
import type { Caller, Refusal, Upstream } from '#agent/upstream.ts';
import { withFault } from './answer.ts';
import type { DoorTokens } from './door-tokens.ts';
import { doorChallenge } from './token-endpoint.ts';

export interface OnBehalfParts {
  readonly tokens: DoorTokens;
  readonly answerer: ChallengeAnswerer;
  readonly events: Pick<AgentEvents, 'leftToDirectPull'>;
  /** `host:port` of the door. */
  readonly door: () => string;
}

/** What the door asks in a caller's name. */
export interface Accesses {
  readonly blobs: Pick<BlobAccess, 'get' | 'size'>;
  readonly manifests: Pick<ManifestAccess, 'get' | 'head'>;
  readonly upstream: Pick<Upstream, 'list'>;
}

interface Refused {
  readonly kind: 'refused';
  readonly refusal: Refusal;
}

/**
 * Answers registries' challenges on behalf of callers that hold one of the door's tokens. Everybody else passes
 * through: containerd answers challenges itself, with the registry's own realm.
 */
export class OnBehalf {
  readonly #parts: OnBehalfParts;

  constructor(parts: OnBehalfParts) {
    this.#parts = parts;
  }

  wrap({ blobs, manifests, upstream }: Accesses): Accesses {
    return {
      blobs: {
        get: (caller, digest, signal) =>
          this.#ask(caller, signal, (asCaller) => blobs.get(asCaller, digest, signal)),
        size: (caller, digest, signal) =>
          this.#ask(caller, signal, (asCaller) => blobs.size(asCaller, digest, signal)),
      },
      manifests: {
        get: (wish) => this.#ask(wish.caller, wish.signal, (caller) => manifests.get({ ...wish, caller })),
        head: (wish) => this.#ask(wish.caller, wish.signal, (caller) => manifests.head({ ...wish, caller })),
      },
      upstream: {
        list: (request, signal) =>
          this.#ask(request.caller, signal, (caller) => upstream.list({ ...request, caller }, signal)),
      },
    };
  }

  async #ask<T extends { readonly kind: string }>(
    caller: Caller,
    signal: AbortSignal,
    attempt: (caller: Caller) => Promise<T | Refused>,
  ): Promise<T | Refused> {
    const holder = this.#parts.tokens.holder(caller.authorization);
    if (holder.kind === 'foreign') return attempt(caller);
    if (holder.kind === 'unknown') return this.#refused(caller, 'invalid_token');
    const { registry, repository } = caller;
    const covers =
      holder.kind === 'login' &&
      holder.login.places.some((place) => place.registry === registry && place.repository === repository);
    const wish: AccessWish = {
      registry,
      scope: `repository:${repository}:pull`,
      ...(covers && { credential: holder.login.credential }),
    };
    const answer = await this.#attempts(caller, wish, signal, attempt);
    if (challengesIn(answer) === undefined) return answer;
    if (!covers) this.#parts.events.leftToDirectPull();
    return this.#refused(caller);
  }

  /** As the registry was last asked; where it wants something else, with that, once. */
  async #attempts<T extends { readonly kind: string }>(
    caller: Caller,
    wish: AccessWish,
    signal: AbortSignal,
    attempt: (caller: Caller) => Promise<T | Refused>,
  ): Promise<T | Refused> {
    const first = await this.#authorization(wish, signal);
    const answer = await attempt({ ...caller, authorization: first });
    const challenges = challengesIn(answer);
    if (challenges === undefined) return answer;
    const next = await this.#answer(challenges, wish, first, signal);
    return next === undefined ? answer : attempt({ ...caller, authorization: next });
  }

  /** A realm that is down is no reason to refuse what anybody may read. */
  async #authorization(wish: AccessWish, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await this.#parts.answerer.before(wish, signal);
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #answer(
    challenges: readonly string[],
    wish: AccessWish,
    failed: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      return await this.#parts.answerer.after(challenges, wish, failed, signal);
    } catch (error) {
      signal.throwIfAborted();
      const message = withFault(`${wish.registry} gives no token now`, error);
      throw new OciError('UNAVAILABLE', message, { cause: asError(error) });
    }
  }

  /** The registry's own challenge would lead past the door, with the wrong name for the repository. */
  #refused(caller: Caller, error?: 'invalid_token'): Refused {
    const challenges = [doorChallenge(this.#parts.door(), caller, error)];
    const body = JSON.stringify(ociErrorBody(unauthorized(challenges)));
    return { kind: 'refused', refusal: { status: 401, challenges, body } };
  }
}

/** The registry's challenges, where a 401 is all there is. */
function challengesIn(answer: {
  readonly kind: string;
  readonly refusal?: Refusal;
}): readonly string[] | undefined {
  return answer.refusal?.status === 401 ? answer.refusal.challenges : undefined;
}
