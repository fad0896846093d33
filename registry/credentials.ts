import { open } from 'node:fs/promises';
import { parseRegistryHost, ReferenceError } from './reference.ts';
import { isJsonObject } from './json-object.ts';
import { describeError, quote } from './redact.ts';

/** What opens a registry: a name and password, or an identity token (an OAuth 2 refresh token). */
export type Credential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string };

/** Where the client finds its own credentials. */
export interface Credentials {
  /** By the registry's name, as `parseRegistryHost` gives it. */
  lookup(registry: string): Credential | undefined;
}

/** The credentials file cannot be read or is malformed. Says which entry, never what is in it. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
}

const FILE_LIMIT = 1024 * 1024;
const REGISTRY_KEY = /^(?:https?:\/\/)?(?<host>[^/]+)\/?(?:v[12]\/?)?$/iu;

/**
 * Reads docker's config.json (also a Secret of type kubernetes.io/dockerconfigjson): `auths` with `auth`,
 * `username` and `password`, or `identitytoken`. Entries of a credential helper, which are empty, and those
 * for a path inside a registry are passed over.
 * @throws CredentialsError
 */
export async function readDockerConfig(path: string): Promise<Credentials> {
  let text: string;
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > FILE_LIMIT) throw new RangeError(`it has ${size} bytes, at most ${FILE_LIMIT} are read`);
    text = await file.readFile('utf8');
  } catch (cause) {
    throw new CredentialsError(`cannot read the credentials file ${path}: ${describeError(cause)}`, {
      cause,
    });
  }
  return parseDockerConfig(text);
}

/** As `readDockerConfig`, from the file's text. @throws CredentialsError */
export function parseDockerConfig(text: string): Credentials {
  const byRegistry = new Map<string, Credential>();
  for (const [key, entry] of Object.entries(parseAuths(text))) {
    const registry = registryOfKey(key);
    const credential = registry === undefined ? undefined : parseEntry(key, entry);
    if (registry !== undefined && credential !== undefined) byRegistry.set(registry, credential);
  }
  return { lookup: (registry) => byRegistry.get(registry) };
}

function parseAuths(text: string): object {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which holds passwords.
    throw new CredentialsError('the credentials file is not JSON');
  }
  if (!isJsonObject(config)) throw new CredentialsError('the credentials file is not a JSON object');
  const auths = config['auths'] ?? {};
  if (!isJsonObject(auths)) throw new CredentialsError('"auths" in the credentials file is not an object');
  return auths;
}

/** `https://index.docker.io/v1/`, `ghcr.io` or `http://host:5000/v2/`; undefined for what names no whole registry. */
function registryOfKey(key: string): string | undefined {
  const host = key.length > 512 ? undefined : REGISTRY_KEY.exec(key)?.groups?.['host'];
  if (host === undefined) return undefined;
  try {
    const registry = parseRegistryHost(host);
    return registry === 'registry-1.docker.io' ? 'docker.io' : registry;
  } catch (error) {
    if (error instanceof ReferenceError) return undefined;
    throw error;
  }
}

function parseEntry(key: string, entry: unknown): Credential | undefined {
  if (!isJsonObject(entry)) throw new CredentialsError(`auths[${quote(key)}] is not an object`);
  const token = member(key, entry, 'identitytoken');
  if (token !== '') return { kind: 'identity-token', token };
  const auth = member(key, entry, 'auth');
  if (auth !== '') return decodeAuth(key, auth);
  const username = member(key, entry, 'username');
  const password = member(key, entry, 'password');
  return username === '' && password === '' ? undefined : passwordCredential(key, username, password);
}

function decodeAuth(key: string, auth: string): Credential {
  const plain = Buffer.from(auth, 'base64').toString('utf8');
  const colon = plain.indexOf(':');
  if (colon < 1) throw new CredentialsError(`auths[${quote(key)}].auth is not base64 of name:password`);
  // Docker pads with NUL.
  return passwordCredential(key, plain.slice(0, colon), plain.slice(colon + 1).replace(/\0+$/u, ''));
}

function passwordCredential(key: string, username: string, password: string): Credential {
  if (username === '' || username.includes(':')) {
    throw new CredentialsError(`auths[${quote(key)}]: the name is empty or has a colon`);
  }
  return { kind: 'password', username, password };
}

function member(key: string, entry: Record<string, unknown>, name: string): string {
  const value = entry[name] ?? '';
  if (typeof value === 'string') return value;
  throw new CredentialsError(`auths[${quote(key)}].${name} is not a string`);
}
