import { createHash, randomBytes } from 'node:crypto';
import type { Credential } from '#registry/credentials.ts';
import { LruMap } from '#service/lru-map.ts';
import { DOOR_TOKEN_MS, DOOR_TOKENS } from '#agent/defaults.ts';
import type { Caller } from '#agent/upstream.ts';

/** A credential that a client gave to the door, and the repositories that it may be used for. */
export interface Login {
  readonly credential: Credential;
  readonly places: readonly Pick<Caller, 'registry' | 'repository'>[];
}

/** Who sends an Authorization. `foreign`: it is none of the door's tokens, so it is upstream's to judge. */
export type Holder =
  | { readonly kind: 'foreign' | 'anonymous' | 'unknown' }
  | { readonly kind: 'login'; readonly login: Login };

/** RFC 6750, 2.1; the scheme's case does not count (RFC 9110, 11.1). */
const DOOR_TOKEN = /^bearer +(?<token>shoal\..*)$/iu;
/** Stands for no credential at all, so everybody may have the same. */
const ANONYMOUS = 'shoal.anonymous';

/**
 * Bearer tokens for clients that take challenges from `/v2/` alone. In memory only, under their hash, and for minutes;
 * the one that was used longest ago makes room.
 */
export class DoorTokens implements Disposable {
  readonly #logins = new LruMap<string, { login: Login; timer: NodeJS.Timeout }>(DOOR_TOKENS);
  readonly #lifeMs: number;

  constructor(lifeMs: number = DOOR_TOKEN_MS) {
    this.#lifeMs = lifeMs;
  }

  get lifeSeconds(): number {
    return Math.floor(this.#lifeMs / 1000);
  }

  anonymous(): string {
    return ANONYMOUS;
  }

  issue(login: Login): string {
    const token = `shoal.${randomBytes(32).toString('base64url')}`;
    const key = keyOf(token);
    // A password is not kept a moment longer than its token counts.
    const timer = setTimeout(() => this.#logins.delete(key), this.#lifeMs).unref();
    this.#logins.set(key, { login, timer });
    return token;
  }

  /** @param authorization as the client sent it */
  holder(authorization: string | undefined): Holder {
    const token = DOOR_TOKEN.exec(authorization ?? '')?.groups?.['token'];
    if (token === undefined) return { kind: 'foreign' };
    if (token === ANONYMOUS) return { kind: 'anonymous' };
    const found = this.#logins.get(keyOf(token));
    return found === undefined ? { kind: 'unknown' } : { kind: 'login', login: found.login };
  }

  [Symbol.dispose](): void {
    for (const [key, { timer }] of this.#logins.entries()) {
      clearTimeout(timer);
      this.#logins.delete(key);
    }
  }
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
