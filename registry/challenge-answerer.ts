import {
  type BearerChallenge,
  bearerChallenge,
  ChallengeError,
  hasBasicChallenge,
  parseChallenges,
} from './challenge.ts';
import type { Credential } from './credentials.ts';
import { CHALLENGE_CACHE_ENTRIES } from './defaults.ts';
import { basicAuthorization, TokenRefusedError, type TokenSource, tokenQuery } from './token-source.ts';

/** What is asked for, and as whom. */
export interface AccessWish {
  readonly registry: string;
  /** Token scope where the challenge names none, `repository:<name>:pull`. */
  readonly scope: string;
  readonly credential?: Credential;
}

type Method = { readonly kind: 'basic' } | { readonly kind: 'bearer'; readonly challenge: BearerChallenge };

/**
 * Answers registries' challenges with the client's own credentials, and remembers how each registry asks, so
 * that the next request has its answer with it. Bearer comes before Basic where a registry offers both.
 */
export class ChallengeAnswerer {
  readonly #tokens: TokenSource;
  readonly #methods = new Map<string, Method>();

  constructor(parts: { tokens: TokenSource }) {
    this.#tokens = parts.tokens;
  }

  /**
   * The Authorization to start with; undefined while the registry has not asked for one.
   * @throws UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async before(wish: AccessWish, signal: AbortSignal): Promise<string | undefined> {
    const method = this.#methods.get(wish.registry);
    if (method?.kind !== 'bearer') return this.#answer(method, wish, signal);
    // What the remembered challenge was for may be another repository.
    return this.#answer({ kind: 'bearer', challenge: unscoped(method.challenge) }, wish, signal);
  }

  /**
   * The Authorization that answers a 401; undefined where there is none, or only `failed`, which was tried.
   * @throws UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async after(
    challenges: readonly string[],
    wish: AccessWish,
    failed: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const method = methodOf(challenges);
    if (method === undefined) return undefined;
    if (method.kind === 'bearer' && failed?.startsWith('Bearer ') === true) {
      this.#forget(method.challenge, wish, failed.slice('Bearer '.length));
    }
    this.#remember(wish.registry, method);
    const answer = await this.#answer(method, wish, signal);
    return answer === failed ? undefined : answer;
  }

  async #answer(
    method: Method | undefined,
    wish: AccessWish,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { credential, scope } = wish;
    if (method?.kind === 'basic')
      return credential?.kind === 'password' ? basicAuthorization(credential) : undefined;
    if (method === undefined) return undefined;
    try {
      return `Bearer ${await this.#tokens.get(tokenQuery(method.challenge, scope, credential), signal)}`;
    } catch (error) {
      // The registry's own refusal says it better.
      if (error instanceof TokenRefusedError) return undefined;
      throw error;
    }
  }

  /** The token may be kept for the scope that was assumed and for the one that the challenge names. */
  #forget(challenge: BearerChallenge, { scope, credential }: AccessWish, token: string): void {
    for (const asked of [challenge, unscoped(challenge)]) {
      this.#tokens.forget(tokenQuery(asked, scope, credential), token);
    }
  }

  #remember(registry: string, method: Method): void {
    this.#methods.delete(registry);
    this.#methods.set(registry, method);
    const oldest = this.#methods.keys().next();
    if (this.#methods.size > CHALLENGE_CACHE_ENTRIES && oldest.done !== true)
      this.#methods.delete(oldest.value);
  }
}

function unscoped({ realm, service }: BearerChallenge): BearerChallenge {
  return { realm, ...(service !== undefined && { service }) };
}

function methodOf(values: readonly string[]): Method | undefined {
  try {
    const challenges = parseChallenges(values);
    const bearer = bearerChallenge(challenges);
    if (bearer !== undefined) return { kind: 'bearer', challenge: bearer };
    return hasBasicChallenge(challenges) ? { kind: 'basic' } : undefined;
  } catch (error) {
    if (error instanceof ChallengeError) return undefined;
    throw error;
  }
}
