import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../demo/free-port.ts';
import { pullBlob } from '../../demo/pull-blob.ts';
import { makeCertificate } from './certificates.ts';
import { run, startDaemon, type Daemon } from './program.ts';
import type { TokenTrust } from './token-issuer.ts';

export type RegistryAuth =
  | { kind: 'none' }
  | { kind: 'htpasswd'; user: string; password: string }
  | { kind: 'token'; trust: TokenTrust };

export interface RegistryOptions {
  directory: string;
  /** A loopback address; with one of its own, the registry may listen on 443 and is named without a port. */
  address?: string;
  port?: number;
  tls?: boolean;
  /** The address that its certificate names, where clients come by another than its own. */
  certified?: string;
  auth?: RegistryAuth;
  /** Several registries on one storage hold the same content behind different doors. */
  storage?: string;
}

export interface Access {
  method: string;
  /** Path and query. */
  uri: string;
  status: number;
  userAgent: string;
  /** Body bytes that the registry wrote. */
  written: number;
}

export interface Registry extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** How an image reference names it: without the port if that is the scheme's own. */
  readonly name: string;
  /** `https://127.77.0.2` */
  readonly url: string;
  readonly caFile: string | undefined;
  /** PEM. */
  readonly ca: string | undefined;
  readonly storage: string;
  /** With htpasswd authentication: where the names and passwords are. */
  readonly usersFile: string;
  /** The access log so far: one entry per answered request, after its body ended. */
  accesses(): Access[];
  /** Body bytes of GETs per blob digest. */
  blobBytes(): Map<string, number>;
  logs(): string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Debian's docker-registry on a loopback address, with its storage in files. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const address = options.address ?? '127.0.0.1';
  const port = options.port ?? (await freePort());
  const directory = join(options.directory, `registry-${address}-${port}`);
  const storage = options.storage ?? join(directory, 'storage');
  await mkdir(storage, { recursive: true });
  const certificate =
    options.tls === true
      ? await makeCertificate(directory, 'registry', options.certified ?? address)
      : undefined;
  const configFile = join(directory, 'config.yml');
  const auth = await authSection(directory, options.auth ?? { kind: 'none' });
  const config = {
    version: 0.1,
    log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: `${address}:${port}`,
      secret: 'a secret of the test',
      ...(certificate === undefined
        ? {}
        : { tls: { certificate: certificate.certFile, key: certificate.keyFile } }),
    },
    ...auth,
  };
  // JSON is YAML 1.2.
  await writeFile(configFile, JSON.stringify(config, undefined, 2));

  const url = registryUrl(address, port, options.tls === true);
  let past = '';
  let daemon: Daemon | undefined;
  const probe = (): Promise<boolean> => answers(url, certificate?.cert);
  const start = async (): Promise<void> => {
    daemon = await startDaemon(['docker-registry', 'serve', configFile], probe);
  };
  const stop = async (): Promise<void> => {
    await daemon?.stop();
    past += daemon?.logs() ?? '';
    daemon = undefined;
  };
  const logs = (): string => past + (daemon?.logs() ?? '');
  await start();
  return {
    address,
    port,
    name: new URL(url).host,
    url,
    caFile: certificate?.certFile,
    ca: certificate?.cert,
    storage,
    usersFile: usersFile(directory),
    accesses: () => readAccesses(logs()),
    blobBytes: () => blobBytes(readAccesses(logs())),
    logs,
    stop,
    start,
    [Symbol.asyncDispose]: stop,
  };
}

/** Body bytes of GETs per blob digest. */
export function blobBytes(accesses: readonly Access[]): Map<string, number> {
  const bytes = new Map<string, number>();
  for (const { method, uri, status, written } of accesses) {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})/.exec(uri)?.[1];
    if (method !== 'GET' || digest === undefined || status >= 300) continue;
    bytes.set(digest, (bytes.get(digest) ?? 0) + written);
  }
  return bytes;
}

function registryUrl(address: string, port: number, tls: boolean): string {
  return new URL(`${tls ? 'https' : 'http'}://${address}:${port}`).origin;
}

async function authSection(directory: string, auth: RegistryAuth): Promise<object> {
  if (auth.kind === 'none') return {};
  if (auth.kind === 'token') return { auth: { token: auth.trust } };
  const path = usersFile(directory);
  // Four rounds: a bcrypt hash is checked at every request, and speed is not what is tested.
  await writeFile(path, await run(['htpasswd', '-nbB', '-C', '4', auth.user, auth.password]));
  return { auth: { htpasswd: { realm: 'shoal-test', path } } };
}

function usersFile(directory: string): string {
  return join(directory, 'htpasswd');
}

async function answers(url: string, ca: string | undefined): Promise<boolean> {
  const { status } = await pullBlob(`${url}/v2/`, ca === undefined ? {} : { ca });
  return status === 200 || status === 401;
}

function readAccesses(log: string): Access[] {
  const accesses: Access[] = [];
  for (const line of log.split('\n')) {
    if (!line.includes('"response completed')) continue;
    const entry = parseLine(line);
    if (entry === undefined) continue;
    accesses.push({
      method: entry['http.request.method'] ?? '',
      uri: entry['http.request.uri'] ?? '',
      status: entry['http.response.status'] ?? 0,
      userAgent: entry['http.request.useragent'] ?? '',
      written: entry['http.response.written'] ?? 0,
    });
  }
  return accesses;
}

/** Of its JSON log, the part that tells of a request. */
interface LogEntry {
  'http.request.method'?: string;
  'http.request.uri'?: string;
  'http.request.useragent'?: string;
  'http.response.status'?: number;
  'http.response.written'?: number;
}

function parseLine(line: string): LogEntry | undefined {
  try {
    const entry: LogEntry = JSON.parse(line);
    return entry;
  } catch {
    return undefined;
  }
}
