import { quote } from './redact.ts';

/** One challenge of a WWW-Authenticate header. Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  /** The parameters by name; none where the challenge has a token68 or nothing. */
  readonly params: ReadonlyMap<string, string>;
  readonly token68?: string;
}

/** What the docker token specification puts into a Bearer challenge. */
export interface BearerChallenge {
  readonly realm: URL;
  readonly service?: string;
  readonly scope?: string;
}

/** A WWW-Authenticate header that breaks the grammar or a bound. */
export class ChallengeError extends Error {
  override readonly name = 'ChallengeError';
}

const HEADER_LIMIT = 16 * 1024;
const CHALLENGE_LIMIT = 16;
const PARAM_LIMIT = 32;

const SEPARATORS = /[ \t]*(?:,[ \t]*)*/uy;
const TOKEN = /[!#$%&'*+\-.^_`|~0-9a-z]+/iuy;
const EQUALS = /[ \t]*=[ \t]*/uy;
const TOKEN68 = /(?<value>[a-z0-9\-._~+/]+=*)[ \t]*(?=,|$)/iuy;
const QUOTED = /"(?<text>(?:[^"\\]|\\.)*)"/suy;
const SPACES = /[ \t]+/uy;

/**
 * Reads the challenges of one or more WWW-Authenticate values (RFC 9110, 11.6.1): a comma parts parameters as
 * well as challenges. At most 16 KiB, 16 challenges and 32 parameters each.
 * @throws ChallengeError
 */
export function parseChallenges(values: string | readonly string[]): Challenge[] {
  const headers = typeof values === 'string' ? [values] : values;
  const length = headers.reduce((sum, value) => sum + value.length, 0);
  if (length > HEADER_LIMIT)
    throw new ChallengeError(`WWW-Authenticate has ${length} characters, at most ${HEADER_LIMIT}`);
  const challenges = headers.flatMap((value) => new Scanner(value).challenges());
  if (challenges.length > CHALLENGE_LIMIT) {
    throw new ChallengeError(
      `WWW-Authenticate has ${challenges.length} challenges, at most ${CHALLENGE_LIMIT}`,
    );
  }
  return challenges;
}

/** The header value of one challenge: `parseChallenges` reads it back. */
export function formatChallenge({ scheme, params, token68 }: Challenge): string {
  if (token68 !== undefined) return `${scheme} ${token68}`;
  const list = [...params].map(
    ([name, value]) => `${name}="${value.replaceAll(/["\\]/gu, String.raw`\$&`)}"`,
  );
  return list.length === 0 ? scheme : `${scheme} ${list.join(',')}`;
}

/**
 * The first Bearer challenge's realm, service and scope; undefined where there is none.
 * @throws ChallengeError where its realm is no http or https URL
 */
export function bearerChallenge(challenges: readonly Challenge[]): BearerChallenge | undefined {
  const params = challenges.find(({ scheme }) => scheme === 'bearer')?.params;
  if (params === undefined) return undefined;
  const realm = URL.parse(params.get('realm') ?? '');
  if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== 'http:')) {
    throw new ChallengeError('the Bearer challenge has no realm that is an http or https URL');
  }
  const service = params.get('service');
  const scope = params.get('scope');
  return { realm, ...(service !== undefined && { service }), ...(scope !== undefined && { scope }) };
}

export function hasBasicChallenge(challenges: readonly Challenge[]): boolean {
  return challenges.some(({ scheme }) => scheme === 'basic');
}

/** Reads a header value from left to right; every expression is sticky, so no character is looked at twice. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const found: Challenge[] = [];
    this.#take(SEPARATORS);
    while (this.#at < this.#text.length && found.length <= CHALLENGE_LIMIT) {
      found.push(this.#challenge());
      this.#take(SEPARATORS);
    }
    return found;
  }

  #challenge(): Challenge {
    const scheme = (this.#take(TOKEN)?.[0] ?? this.#fail('a scheme')).toLowerCase();
    if (this.#take(SPACES) === undefined) {
      if (this.#at < this.#text.length && this.#text[this.#at] !== ',') this.#fail('a space or a comma');
      return { scheme, params: new Map() };
    }
    const start = this.#at;
    const token68 = this.#take(TOKEN68)?.groups?.['value'];
    // `name=` before a comma is a token68 by the grammar; a bare word is the next scheme only after a comma.
    if (token68 !== undefined) return { scheme, params: new Map(), token68 };
    this.#at = start;
    return { scheme, params: this.#params() };
  }

  #params(): Map<string, string> {
    const params = new Map<string, string>();
    for (;;) {
      const start = this.#at;
      this.#take(SEPARATORS);
      const name = this.#take(TOKEN)?.[0].toLowerCase();
      if (name === undefined || this.#take(EQUALS) === undefined) {
        // Not a parameter: the next challenge, if a comma came before it.
        this.#at = start;
        return params;
      }
      if (params.has(name)) this.#fail(`one ${quote(name, 40)} only`);
      if (params.size === PARAM_LIMIT) this.#fail(`at most ${PARAM_LIMIT} parameters`);
      params.set(name, this.#value());
      if (this.#at < this.#text.length && !/[ \t,]/u.test(this.#text[this.#at]!)) this.#fail('a comma');
    }
  }

  #value(): string {
    const quoted = this.#take(QUOTED)?.groups?.['text'];
    if (quoted !== undefined) return quoted.replaceAll(/\\(?<char>.)/gsu, '$<char>');
    return this.#take(TOKEN)?.[0] ?? this.#fail('a value');
  }

  #take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at;
    const match = expression.exec(this.#text);
    if (match === null) return undefined;
    this.#at = expression.lastIndex;
    return match;
  }

  #fail(expected: string): never {
    throw new ChallengeError(`WWW-Authenticate, character ${this.#at + 1}: ${expected} expected`);
  }
}
