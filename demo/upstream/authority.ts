import { randomBytes } from 'node:crypto';
import type { AuthorizationKind } from './access-log.ts';

export interface User {
  name: string;
  password: string;
  /** Repositories that this user may read. */
  repositories: readonly string[] | 'all';
}

interface Rights {
  users: readonly User[];
  /** Repositories that anybody may read. */
  anonymous?: readonly string[] | 'all';
}

export type Auth =
  | { kind: 'none' }
  /** A user without the right to a repository gets 403. */
  | ({ kind: 'basic' } & Rights)
  /**
   * The token scheme of docker-registry. A token grants what was asked for and permitted, so a token without
   * the right gets 401 with `insufficient_scope`. The realm is on the registry's own listener or on another.
   */
  | ({ kind: 'token'; service?: string; lifetimeSeconds?: number; realm?: 'same' | 'other' } & Rights);

interface Denial {
  status: 401 | 403;
  code: 'UNAUTHORIZED' | 'DENIED';
  challenge: string | undefined;
}

export interface Verdict {
  user: string | undefined;
  denial: Denial | undefined;
}

interface Token {
  user: string | undefined;
  repositories: ReadonlySet<string>;
  expiresAt: number;
}

export interface TokenAnswer {
  token: string;
  access_token: string;
  expires_in: number;
  issued_at: string;
}

const MAX_TOKENS = 10_000;
const DEFAULT_LIFETIME_SECONDS = 300;

/** Who may read what. Tokens are opaque and live in memory. */
export class Authority {
  auth: Auth = { kind: 'none' };
  readonly #tokens = new Map<string, Token>();

  /** `repository` is undefined for `/v2/` itself. */
  judge(header: string | undefined, repository: string | undefined, realmUrl: string): Verdict {
    if (this.auth.kind === 'none') return { user: undefined, denial: undefined };
    return this.auth.kind === 'basic'
      ? this.#judgeBasic(this.auth, header, repository)
      : this.#judgeToken(this.auth, header, repository, realmUrl);
  }

  /** The realm's answer to `GET /token`; undefined when the credentials are wrong. */
  issue(
    header: string | undefined,
    query: URLSearchParams,
  ): { user: string | undefined; answer: TokenAnswer } | undefined {
    const { auth } = this;
    if (auth.kind !== 'token') return undefined;
    const user = userOf(auth, header);
    if (header !== undefined && user === undefined) return undefined;
    const asked = query
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .map(repositoryOf);
    const granted = asked.filter((name): name is string => name !== undefined && mayRead(auth, user, name));
    const token = randomBytes(32).toString('base64url');
    const lifetime = auth.lifetimeSeconds ?? DEFAULT_LIFETIME_SECONDS;
    this.#remember(token, {
      user: user?.name,
      repositories: new Set(granted),
      expiresAt: Date.now() + lifetime * 1000,
    });
    const issuedAt = new Date().toISOString();
    return {
      user: user?.name,
      answer: { token, access_token: token, expires_in: lifetime, issued_at: issuedAt },
    };
  }

  /** Every token given out so far is worthless from now on. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  #judgeBasic(auth: Rights, header: string | undefined, repository: string | undefined): Verdict {
    const user = userOf(auth, header);
    const wrong = header !== undefined && user === undefined;
    const open = repository !== undefined && includes(auth.anonymous, repository);
    if (wrong || (user === undefined && !open)) {
      return refuse(undefined, { status: 401, code: 'UNAUTHORIZED', challenge: 'Basic realm="Upstream"' });
    }
    if (repository !== undefined && !mayRead(auth, user, repository)) {
      return refuse(user?.name, { status: 403, code: 'DENIED', challenge: undefined });
    }
    return { user: user?.name, denial: undefined };
  }

  #judgeToken(
    auth: Auth & { kind: 'token' },
    header: string | undefined,
    repository: string | undefined,
    realmUrl: string,
  ): Verdict {
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
    const challenge = `Bearer realm="${realmUrl}",service="${serviceOf(auth)}"${scope}`;
    const because = (error?: string): Denial => ({
      status: 401,
      code: 'UNAUTHORIZED',
      challenge: error === undefined ? challenge : `${challenge},error="${error}"`,
    });
    if (header === undefined) return refuse(undefined, because());
    const token = this.#tokens.get(/^Bearer (.+)$/i.exec(header)?.[1] ?? '');
    if (token === undefined || token.expiresAt <= Date.now()) {
      return refuse(undefined, because('invalid_token'));
    }
    if (repository !== undefined && !token.repositories.has(repository)) {
      return refuse(token.user, because('insufficient_scope'));
    }
    return { user: token.user, denial: undefined };
  }

  #remember(name: string, token: Token): void {
    for (const [old, { expiresAt }] of this.#tokens) {
      if (expiresAt <= Date.now() || this.#tokens.size >= MAX_TOKENS) this.#tokens.delete(old);
      else break;
    }
    this.#tokens.set(name, token);
  }
}

function serviceOf(auth: { service?: string }): string {
  return auth.service ?? 'upstream';
}

export function authorizationKind(header: string | undefined): AuthorizationKind {
  if (header === undefined) return 'none';
  const scheme = header.split(' ', 1)[0]!.toLowerCase();
  return scheme === 'basic' || scheme === 'bearer' ? scheme : 'other';
}

export function basicAuthorization(user: Pick<User, 'name' | 'password'>): string {
  return `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`;
}

function refuse(user: string | undefined, denial: Denial): Verdict {
  return { user, denial };
}

function userOf(rights: Rights, header: string | undefined): User | undefined {
  return rights.users.find((user) => basicAuthorization(user) === header);
}

function mayRead(rights: Rights, user: User | undefined, repository: string): boolean {
  return includes(rights.anonymous, repository) || includes(user?.repositories, repository);
}

function includes(repositories: readonly string[] | 'all' | undefined, name: string): boolean {
  return repositories === 'all' || repositories?.includes(name) === true;
}

/** `repository:<name>:<actions>` with pull among the actions; else undefined. */
function repositoryOf(scope: string): string | undefined {
  const [, name, actions] = /^repository:([^:]+):([a-z,*]+)$/.exec(scope) ?? [];
  return actions?.split(',').includes('pull') === true ? name : undefined;
}
