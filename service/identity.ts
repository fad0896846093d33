import {
  type ConnectionOptions,
  createServer,
  type Server as TlsServer,
  type TlsOptions,
  type TLSSocket,
} from 'node:tls';

import { describeError } from '#registry/redact.ts';
import {
  believedCertificate,
  certificateClient,
  type CertificateFiles,
  certificateServer,
  isMember,
  type MemberCertificates,
  parseCertificates,
} from './certificates.ts';
import {
  believedKey,
  type ClusterKeys,
  parseClusterKeys,
  pskClient,
  pskServer,
  wireKeys,
} from './cluster-key.ts';
import { backedByFiles, type FileBacked, type FollowOptions } from './file-backed.ts';
import { IdentityError } from './identity-error.ts';
import { ProvenConnections } from './proven-connections.ts';

/** How the parts of one cluster know each other. */
export type Security =
  | { readonly mode: 'off' }
  | { readonly mode: 'cluster-key'; readonly keys: ClusterKeys }
  | { readonly mode: 'mtls'; readonly certificates: MemberCertificates };

export interface SecurityConfig {
  readonly security: Security['mode'];
  readonly clusterKeyFile?: string;
  readonly mtls?: Partial<CertificateFiles>;
}

/**
 * The security of a part as its configuration names it; with `follow`, as its files are at any time.
 * @throws IdentityError naming the file and what is allowed, never its content
 */
export function loadSecurity(config: SecurityConfig, follow?: FollowOptions): Security {
  switch (config.security) {
    case 'off':
      return { mode: 'off' };
    case 'cluster-key':
      return loadClusterKeys(config, follow);
    default:
      return loadCertificates(config, follow);
  }
}

function loadClusterKeys({ clusterKeyFile: path }: SecurityConfig, follow?: FollowOptions): Security {
  if (path === undefined)
    throw new IdentityError(
      'security is "cluster-key", so clusterKeyFile must name the file that holds the cluster key',
    );
  const file = opened('the cluster key', [path], ([text = '']) => parseClusterKeys(text, path), follow);
  return { mode: 'cluster-key', keys: () => file.current };
}

function loadCertificates({ mtls = {} }: SecurityConfig, follow?: FollowOptions): Security {
  const { certFile, keyFile, caFile, name } = mtls;
  if (certFile === undefined || keyFile === undefined || caFile === undefined || name === undefined)
    throw new IdentityError(
      'security is "mtls", so mtls.certFile, mtls.keyFile and mtls.caFile must name the files of the certificate',
    );
  const files = { certFile, keyFile, caFile, name };
  const paths = [certFile, keyFile, caFile];
  const make = (texts: readonly string[]) => parseCertificates(texts, files);
  return { mode: 'mtls', certificates: opened('the certificate', paths, make, follow) };
}

function opened<T>(
  what: string,
  paths: readonly string[],
  make: (texts: readonly string[]) => T,
  follow?: FollowOptions,
): FileBacked<T> {
  try {
    return backedByFiles(paths, make, follow);
  } catch (error) {
    if (error instanceof IdentityError) throw error;
    throw new IdentityError(`cannot read ${what} ${paths.join(', ')}: ${describeError(error)}`, {
      cause: error,
    });
  }
}

/** Options for `tls.createServer` or an HTTPS server that talks only to members. Undefined where security is off. */
export function serverTls(security: Security): TlsOptions | undefined {
  if (security.mode === 'off') return undefined;
  return security.mode === 'cluster-key'
    ? pskServer(security.keys)
    : certificateServer(security.certificates);
}

/** Options for `tls.connect` towards a server made with {@link serverTls}, for one connection. Undefined where security is off. */
export function clientTls(
  security: Security,
): ReturnType<typeof pskClient> | ReturnType<typeof certificateClient> | undefined {
  if (security.mode === 'off') return undefined;
  return security.mode === 'cluster-key'
    ? pskClient(security.keys)
    : certificateClient(security.certificates);
}

/**
 * Makes a TLS server made with {@link serverTls} hand on none but members, end their connections when what they proved
 * counts no more, and follow what is read anew. To be called before anybody else listens for its connections.
 */
export function guardServer(server: TlsServer, security: Security): void {
  if (security.mode === 'off') return;
  const open = new ProvenConnections();
  if (security.mode === 'cluster-key') {
    server.prependListener('secureConnection', (socket: TLSSocket) =>
      open.add(socket, believedKey(security.keys, socket)),
    );
    return;
  }
  const { certificates } = security;
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    if (isMember(certificates, socket.getPeerX509Certificate()))
      open.add(socket, believedCertificate(certificates, socket));
    else socket.destroy();
  });
  const forget = certificates.onChange(() => server.setSecureContext(certificateServer(certificates)));
  server.once('close', forget);
}

/**
 * Ends connections that were dialled with {@link clientTls} when what was proved counts no more.
 * @returns to be called before each dial; what that returns wants the socket when TLS is made
 */
export function guardDials(security: Security): () => (socket: TLSSocket) => void {
  const open = new ProvenConnections();
  return () => {
    if (security.mode === 'off') return () => undefined;
    if (security.mode === 'mtls')
      return (socket) => open.add(socket, believedCertificate(security.certificates, socket));
    const isBelieved = believedKey(security.keys);
    return (socket) => open.add(socket, isBelieved);
  };
}

/** How members of the peer wire prove what they are; see swarm/wire. */
export interface WireIdentity {
  readonly membershipKeys?: () => readonly Buffer[];
  readonly tls?: {
    readonly server: () => TlsServer;
    readonly client: () => ConnectionOptions;
    readonly guardDial: () => (socket: TLSSocket) => void;
    readonly everywhere: boolean;
  };
}

/**
 * With a cluster key, agents prove it to each other by a challenge and speak in the clear; certificates
 * prove nothing without TLS, which is then spoken by all.
 */
export function wireIdentity(security: Security): WireIdentity {
  if (security.mode === 'off') return {};
  const tls = {
    server: () => {
      const server = createServer(serverTls(security) ?? {});
      guardServer(server, security);
      return server;
    },
    client: () => clientTls(security) ?? {},
    guardDial: guardDials(security),
    everywhere: security.mode === 'mtls',
  };
  return security.mode === 'mtls' ? { tls } : { tls, membershipKeys: () => wireKeys(security.keys) };
}
