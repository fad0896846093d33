import { type Link, startLink } from '../../runtimes/link.ts';
import { type Credentials, pair, pushImage, type PushOptions } from '../../runtimes/images.ts';
import { run, words } from '../../runtimes/program.ts';
import { type Registry, type RegistryAuth, startRegistry } from '../../runtimes/registry.ts';
import type { Image } from '../../../demo/image.ts';
import { lastingLayer } from './lasting-layer.ts';

export interface UpstreamOptions {
  readonly directory: string;
  /** How images are named: the near end of its link, on port 443. */
  readonly address: string;
  readonly auth?: RegistryAuth;
  /** Of whoever may push. */
  readonly credentials?: Credentials;
}

/** An image whose pods run until they are stopped. */
interface LastingImage {
  readonly image: Image;
  /** As a pod names it. */
  readonly reference: string;
}

/** A docker-registry with TLS, behind a link that is slow, counted and breakable. */
export interface Upstream extends AsyncDisposable {
  readonly registry: Registry;
  readonly link: Link;
  /** Past the link. */
  push(options: Pick<PushOptions, 'repository' | 'layers' | 'tag'>): Promise<LastingImage>;
  /** Past the link: an OCI layout that is there. @returns its repository as the nodes name it. */
  pushLayout(layout: string, repository: string, tag: string): Promise<string>;
}

export async function startUpstream({
  directory,
  address,
  auth,
  credentials,
}: UpstreamOptions): Promise<Upstream> {
  await using starting = new AsyncDisposableStack();
  const registry = starting.use(
    await startRegistry({ directory, tls: true, certified: address, ...(auth && { auth }) }),
  );
  const link = starting.use(await startLink({ to: registry, at: { address, port: 443 } }));
  const running = starting.move();
  return {
    registry,
    link,
    async push({ layers, ...options }) {
      const lasting = [await lastingLayer(), ...layers];
      const pushed = await pushImage(registry, {
        ...options,
        directory,
        layers: lasting,
        ...(credentials && { credentials }),
      });
      return { image: pushed.image, reference: `${address}/${pushed.repository}:${pushed.tag}` };
    },
    async pushLayout(layout, repository, tag) {
      const login = credentials === undefined ? [] : ['--dest-creds', pair(credentials)];
      await run([
        ...words('skopeo copy --all --preserve-digests --dest-tls-verify=false'),
        ...login,
        `oci:${layout}`,
        `docker://${registry.name}/${repository}:${tag}`,
      ]);
      return `${address}/${repository}`;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Who read blobs of a repository: `shoal`, or `containerd` itself. */
export function readersOf({ registry }: Upstream, repository: string): string[] {
  const reads = registry
    .accesses()
    .filter(
      ({ method, uri, status }) => method === 'GET' && status < 300 && uri.includes(`/${repository}/blobs/`),
    );
  return [...new Set(reads.map(({ userAgent }) => userAgent.split('/')[0] ?? ''))];
}
