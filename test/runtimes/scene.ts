import { temporaryDirectory } from '../support/temporary-directory.ts';
import { startCluster, type Cluster, type ClusterOptions } from './cluster.ts';
import type { Agent } from './part.ts';
import { writeHostsDir } from './containerd.ts';
import type { Asked } from './door.ts';
import { pushImage, type Credentials, type PushedImage } from './images.ts';
import { startLink, type Link } from './link.ts';
import { mirrorContainerd } from './mirrors.ts';
import { startRegistry, type Registry, type RegistryAuth } from './registry.ts';
import { startTokenIssuer, type IssuerOptions, type TokenIssuer } from './token-issuer.ts';
import type { LayerSpec } from '../../demo/image.ts';

/** On an address of its own the registry gets port 443, and image references name it without a port; each run has another. */
export const REGISTRY_ADDRESS = `127.77.${(process.pid >> 7) & 127}.${2 + (process.pid & 127)}`;

export interface SceneOptions {
  auth?: RegistryAuth | { kind: 'token'; issuer: Omit<IssuerOptions, 'directory'> };
  /** Of the link between cluster and registry. */
  bytesPerSecond?: number;
  cluster?: Partial<Omit<ClusterOptions, 'directory'>>;
  /** Of whoever may push. */
  credentials?: Credentials;
}

/** A docker-registry with TLS, behind a link that is slow, counted and breakable, and a Shoal cluster before it. */
export interface Scene extends AsyncDisposable {
  readonly directory: string;
  readonly registry: Registry;
  readonly issuer: TokenIssuer | undefined;
  readonly link: Link;
  readonly cluster: Cluster;
  /** For a runtime's pulls past Shoal. */
  readonly directHostsDir: string;
  push(repository: string, layers: readonly LayerSpec[], tag?: string): Promise<PushedImage>;
  asked(repository: string, authorization?: string): Asked;
  agent(index: number): Agent;
  /** containerd's hosts directory with this agent as the registry's mirror, as `shoal config containerd` writes it. */
  hostsDir(agent: Agent): Promise<string>;
}

export async function startScene(options: SceneOptions = {}): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const temporary = stack.use(await temporaryDirectory('runtimes'));
  const directory = temporary.path;
  const { auth, issuer } = await chooseAuth(directory, options.auth ?? { kind: 'none' });
  if (issuer !== undefined) stack.use(issuer);
  const registry = stack.use(
    await startRegistry({ directory, address: REGISTRY_ADDRESS, port: 443, tls: true, auth }),
  );
  const link = stack.use(
    await startLink({
      to: registry,
      ...(options.bytesPerSecond === undefined ? {} : { bytesPerSecond: options.bytesPerSecond }),
    }),
  );
  const upstream = { endpoint: `https://127.0.0.1:${link.port}`, ca: registry.caFile ?? '' };
  // The door asks the realm itself for clients that are logged in to it.
  const realm = issuer === undefined ? {} : { [new URL(issuer.trust.realm).host]: { plainHttp: true } };
  const upstreams = { [registry.name]: upstream, ...realm, ...options.cluster?.upstreams };
  const cluster = stack.use(await startCluster({ ...options.cluster, directory, upstreams }));
  const directHostsDir = await writeHostsDir(temporary.join('hosts-direct'), registry);
  const resources = stack.move();
  return {
    directory,
    registry,
    issuer,
    link,
    cluster,
    directHostsDir,
    push: (repository, layers, tag) =>
      pushImage(registry, {
        directory,
        repository,
        layers,
        ...(tag === undefined ? {} : { tag }),
        ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      }),
    asked: (repository, authorization) => ({ registry: registry.name, repository, authorization }),
    agent: (index) => agentAt(cluster, index),
    async hostsDir(agent) {
      return mirrorContainerd(temporary.join(`node-of-${agent.name}`), registry, agent);
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

export function agentAt(cluster: Cluster, index: number): Agent {
  const agent = cluster.agents[index];
  if (agent === undefined)
    throw new Error(`the cluster has ${cluster.agents.length} agents, none at ${index}`);
  return agent;
}

async function chooseAuth(
  directory: string,
  auth: NonNullable<SceneOptions['auth']>,
): Promise<{ auth: RegistryAuth; issuer?: TokenIssuer }> {
  if (auth.kind !== 'token' || !('issuer' in auth)) return { auth };
  const issuer = await startTokenIssuer({ directory, ...auth.issuer });
  return { auth: { kind: 'token', trust: issuer.trust }, issuer };
}
