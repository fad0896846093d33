import type { FastifyReply, FastifyRequest } from 'fastify';
import { formatChallenge } from '#registry/challenge.ts';
import { OciError } from '#registry/oci-error.ts';
import type { UpstreamPolicy } from '#registry/upstream-policy.ts';
import { MAX_TOKEN_SCOPES } from '#agent/defaults.ts';
import type { AgentEvents } from '#agent/events.ts';
import { REGISTRY_HEADERS } from './answer.ts';
import type { DoorTokens, Login } from './door-tokens.ts';
import { parseDoorName } from './request.ts';

export const TOKEN_PATH = '/shoal/v1/token';

export interface TokenEndpointParts {
  readonly tokens: DoorTokens;
  /** Registries to which credentials that were given to the door are handed on; undefined: to none. */
  readonly logins: UpstreamPolicy | undefined;
  readonly events: Pick<AgentEvents, 'tokenIssued'>;
}

type Place = Login['places'][number];

/**
 * The door's own token endpoint (docker token specification, GET), for clients that take challenges from `/v2/` alone.
 * It asks nobody: the credential is put to the registry's real realm when the registry asks for it. A scope names the
 * repository as the client does, registry first; a login without a scope gets a token that opens no more than `/v2/`.
 * @throws OciError for a malformed scope or credential
 */
export function answerToken(
  { tokens, logins, events }: TokenEndpointParts,
  { query, headers: { authorization } }: Pick<FastifyRequest, 'query' | 'headers'>,
  reply: FastifyReply,
): FastifyReply {
  const credential = readBasic(authorization);
  const places = readPlaces(query);
  const allowed = places.filter(({ registry }) => logins?.allows(registry) === true);
  const isLogin = credential !== undefined && allowed.length > 0;
  const token = isLogin ? tokens.issue({ credential, places: allowed }) : tokens.anonymous();
  if (isLogin) events.tokenIssued('login');
  else events.tokenIssued(credential === undefined || places.length === 0 ? 'anonymous' : 'withheld');
  return reply
    .headers({ ...REGISTRY_HEADERS, 'cache-control': 'no-store' })
    .send({ token, access_token: token, expires_in: tokens.lifeSeconds });
}

/** WWW-Authenticate that leads to the token endpoint, for one repository or for `/v2/`. */
export function doorChallenge(door: string, place?: Place, error?: 'invalid_token'): string {
  const params = new Map([
    ['realm', `http://${door}${TOKEN_PATH}`],
    ['service', 'shoal'],
  ]);
  if (place !== undefined) params.set('scope', `repository:${place.registry}/${place.repository}:pull`);
  if (error !== undefined) params.set('error', error);
  return formatChallenge({ scheme: 'Bearer', params });
}

/** RFC 7617; undefined where nothing is sent. */
function readBasic(authorization: string | undefined): Login['credential'] | undefined {
  if (authorization === undefined) return undefined;
  const encoded = /^Basic +(?<pair>[A-Za-z0-9+/]+=*)$/iu.exec(authorization)?.groups?.['pair'] ?? '';
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 1) throw new OciError('UNAUTHORIZED', 'the token endpoint takes a name and password (Basic)');
  return { kind: 'password', username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

/** The repositories among the scopes; other kinds of scope open nothing here and are passed over. */
function readPlaces(query: unknown): Place[] {
  const { scope }: { scope?: unknown } = query === null || typeof query !== 'object' ? {} : query;
  const scopes = [scope]
    .flat()
    .filter((text) => typeof text === 'string')
    .flatMap((text) => text.split(' '));
  if (scopes.length > MAX_TOKEN_SCOPES)
    throw new OciError('DENIED', `a token is for at most ${MAX_TOKEN_SCOPES} scopes`, { status: 400 });
  return scopes.flatMap((text) => {
    const name = /^repository(?:\([^)]*\))?:(?<name>.+):[^:]*$/u.exec(text)?.groups?.['name'];
    return name === undefined ? [] : [parseDoorName(name)];
  });
}
