import { makeImage, type Image, type LayerSpec } from '../../demo/image.ts';
import { run, words } from './program.ts';
import type { Registry } from './registry.ts';

export interface Credentials {
  user: string;
  password: string;
}

/** An image that lies in a registry. */
export interface PushedImage {
  image: Image;
  repository: string;
  tag: string;
  /** As a runtime names it: `127.77.0.2/team/app:v1`. */
  reference: string;
}

export interface PushOptions {
  directory: string;
  repository: string;
  tag?: string;
  layers: readonly LayerSpec[];
  /** Equal seeds and layers make equal digests. */
  seed?: string;
  credentials?: Credentials;
}

/** Makes a multi-arch image and pushes all of it, digests unchanged. */
export async function pushImage(registry: Registry, options: PushOptions): Promise<PushedImage> {
  const { repository, tag = 'v1', seed = repository } = options;
  const dir = `${options.directory}/image-${repository.replaceAll('/', '-')}-${tag}`;
  const image = await makeImage({ dir, layers: options.layers, seed });
  const reference = `${registry.name}/${repository}:${tag}`;
  await run([
    ...words('skopeo copy --all --preserve-digests --dest-tls-verify=false'),
    ...(options.credentials === undefined ? [] : ['--dest-creds', pair(options.credentials)]),
    `oci:${dir}`,
    `docker://${reference}`,
  ]);
  return { image, repository, tag, reference };
}

/** `user:password`, as skopeo and ctr take it. */
export function pair({ user, password }: Credentials): string {
  return `${user}:${password}`;
}

/** `Basic …`. */
export function basic(credentials: Credentials): string {
  return `Basic ${Buffer.from(pair(credentials)).toString('base64')}`;
}
