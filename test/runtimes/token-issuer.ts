import { createPrivateKey, createPublicKey, randomUUID, sign, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { makeCertificate, type Certificate } from './certificates.ts';
import { freePort } from '../../demo/free-port.ts';
import { sha256Hex } from '../support/bytes.ts';

const ISSUER = 'shoal-test-issuer';
const SERVICE = 'shoal-test-registry';
const DEFAULT_LIFETIME_SECONDS = 300;

interface User {
  password: string;
  /** Repositories that the user may pull from. */
  pull: readonly string[];
  /** Repositories that the user may also push to. */
  push?: readonly string[];
  /** Of this user's tokens, instead of everybody's; may lie in the past. */
  lifetimeSeconds?: number;
}

export interface IssuerOptions {
  directory: string;
  /** Where it listens; 127.0.0.1 by default. */
  address?: string;
  users: Readonly<Record<string, User>>;
  /** Repositories that anyone may pull from. */
  anonymous?: readonly string[];
  lifetimeSeconds?: number;
}

interface IssuedToken {
  at: number;
  /** Undefined: nobody in particular. */
  user: string | undefined;
  /** As granted, such as `repository:team/app:pull`; empty when nothing was. */
  granted: string[];
  token: string;
}

/** What docker-registry's configuration needs to trust the issuer. */
export interface TokenTrust {
  realm: string;
  issuer: string;
  service: string;
  rootcertbundle: string;
}

export interface TokenIssuer extends AsyncDisposable {
  readonly trust: TokenTrust;
  readonly issued: readonly IssuedToken[];
  /** Gives the user no more tokens; those given out count to their end. */
  forget(user: string): void;
}

interface Access {
  type: string;
  name: string;
  actions: string[];
}

/**
 * The authorization service of the distribution project's token authentication: JWTs signed with ES256,
 * whose `kid` is libtrust's fingerprint of the key. GET with Basic credentials or none, and POST as OAuth 2.
 */
export async function startTokenIssuer(options: IssuerOptions): Promise<TokenIssuer> {
  const certificate = await makeCertificate(options.directory, 'issuer');
  const issued: IssuedToken[] = [];
  const forgotten = new Set<string>();
  const server = createServer((request, response) => {
    void readAsked(request)
      .then((asked) =>
        answer(
          response,
          forgotten.has(asked.user ?? '') ? 'refused' : decide(asked, options, certificate),
          issued,
        ),
      )
      .catch(() => response.destroy());
  });
  const port = await freePort();
  const address = options.address ?? '127.0.0.1';
  server.listen(port, address);
  await once(server, 'listening');
  return {
    trust: {
      realm: `http://${address}:${port}/token`,
      issuer: ISSUER,
      service: SERVICE,
      rootcertbundle: certificate.certFile,
    },
    issued,
    forget: (user) => void forgotten.add(user),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

type Decision = (IssuedToken & { lifetime: number }) | 'refused';

function decide(asked: Asked, options: IssuerOptions, certificate: Certificate): Decision {
  const { user, password, scopes } = asked;
  const known = user === undefined ? undefined : options.users[user];
  if (user !== undefined && (known === undefined || !samePassword(known.password, password)))
    return 'refused';
  const access = scopes
    .map((scope) => grant(scope, known, options.anonymous ?? []))
    .filter(({ actions }) => actions.length > 0);
  const lifetime = known?.lifetimeSeconds ?? options.lifetimeSeconds ?? DEFAULT_LIFETIME_SECONDS;
  const token = signToken(certificate, user ?? '', access, lifetime);
  const granted = access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`);
  return { at: Date.now(), user, granted, token, lifetime };
}

function answer(response: ServerResponse, decision: Decision, issued: IssuedToken[]): void {
  const refused = decision === 'refused';
  response.writeHead(refused ? 401 : 200, { 'content-type': 'application/json' });
  if (refused) {
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"wrong user or password"}]}');
    return;
  }
  const { token, lifetime, at } = decision;
  issued.push(decision);
  const issuedAt = new Date(at).toISOString();
  response.end(JSON.stringify({ token, access_token: token, expires_in: lifetime, issued_at: issuedAt }));
}

interface Asked {
  scopes: string[];
  user: string | undefined;
  password: string;
}

async function readAsked(request: IncomingMessage): Promise<Asked> {
  const url = new URL(request.url ?? '/', 'http://issuer');
  if (request.method === 'POST') {
    let body = '';
    for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString('utf8');
    const form = new URLSearchParams(body);
    const user = form.get('username') ?? undefined;
    return { scopes: splitScopes(form.getAll('scope')), user, password: form.get('password') ?? '' };
  }
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const [user, ...rest] = basic === undefined ? [] : Buffer.from(basic, 'base64').toString('utf8').split(':');
  return { scopes: splitScopes(url.searchParams.getAll('scope')), user, password: rest.join(':') };
}

function splitScopes(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(' ')).filter((scope) => scope !== '');
}

function samePassword(expected: string, given: string): boolean {
  return timingSafeEqual(Buffer.from(sha256Hex(expected)), Buffer.from(sha256Hex(given)));
}

function grant(scope: string, user: User | undefined, anonymous: readonly string[]): Access {
  const [type = '', name = '', actions = ''] = scope.split(':');
  const may: Record<string, boolean> = {
    pull: anonymous.includes(name) || (user?.pull.includes(name) ?? false),
    push: user?.push?.includes(name) ?? false,
  };
  return { type, name, actions: actions.split(',').filter((action) => may[action] === true) };
}

function signToken(certificate: Certificate, subject: string, access: Access[], lifetime: number): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'ES256', kid: fingerprint(certificate.cert) };
  const claims = {
    iss: ISSUER,
    sub: subject,
    aud: SERVICE,
    exp: now + lifetime,
    nbf: now - 5,
    iat: now,
    jti: randomUUID(),
    access,
  };
  const signed = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const key = createPrivateKey(certificate.key);
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

/** libtrust's key id: base32 of the first 240 bits of the SHA-256 of the DER public key, in groups of four. */
function fingerprint(cert: string): string {
  const der = createPublicKey(cert).export({ type: 'spki', format: 'der' });
  const hash = Buffer.from(sha256Hex(der), 'hex').subarray(0, 30);
  return base32(hash).match(/.{4}/g)?.join(':') ?? '';
}

/** RFC 4648, section 6, for lengths that need no padding. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return (bits.match(/.{5}/g) ?? []).map((group) => alphabet[Number.parseInt(group, 2)]).join('');
}
