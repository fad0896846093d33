import { fetchBlob } from './fetch-blob.ts';
import { HttpConnection } from './http-connection.ts';
import { pullBlob, type PulledBlob, type PullOptions } from './pull-blob.ts';
import { digestOf } from '#registry/digest.ts';

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Layers at a time, as containerd has it by default. */
const PARALLEL_LAYERS = 3;

/** Of an error's body. */
const KEPT_TEXT_BYTES = 300;

export interface ImagePullOptions {
  /** Where to ask, by plain HTTP and without a trailing slash: a mirror's or a registry's own. */
  base: string;
  repository: string;
  /** Tag or digest. */
  reference: string;
  /** The registry meant, as containerd's `ns` query tells a mirror. */
  ns?: string;
  architecture?: string;
  /** For the registry's challenge, Basic or Bearer. */
  credentials?: { name: string; password: string };
  parallel?: number;
  signal?: AbortSignal;
  /** Of blobs, as they arrive. */
  onBytes?: (count: number, digest: string) => void;
}

interface PulledPart {
  digest: string;
  /** Body bytes that arrived. */
  bytes: number;
  /** From this part's request; undefined for an empty body. */
  firstByteMs: number | undefined;
}

export interface PulledImage {
  /** Of the index, or of the manifest where the reference names one. */
  digest: string;
  /** Index, manifest, config, layers; each was whole and matched its digest. */
  parts: PulledPart[];
  bytes: number;
  /** From the pull's start to the first byte of a layer. */
  firstByteMs: number;
  totalMs: number;
}

interface Descriptor {
  digest: string;
  size: number;
  platform?: { architecture?: string };
}

interface ManifestJson {
  manifests?: Descriptor[];
  config?: Descriptor;
  layers?: Descriptor[];
}

/**
 * Pulls an image as a runtime does: index, manifest, config, then layers side by side; answers the challenge that its
 * manifests are refused with. Blobs must come from `base` itself: redirects of theirs are not followed.
 * @throws Error that names the part which was refused, cut short, or not what its digest says.
 */
export async function pullImage(options: ImagePullOptions): Promise<PulledImage> {
  const started = performance.now();
  const failed = new AbortController();
  const signals = options.signal === undefined ? [failed.signal] : [failed.signal, options.signal];
  const session = new Session({ ...options, signal: AbortSignal.any(signals) });
  const top = await session.manifest(options.reference);
  const platform = top.json.manifests === undefined ? top : await session.manifest(pick(top.json, options));
  const { config, layers = [] } = platform.json;
  if (config === undefined) throw new Error(`manifest ${platform.part.digest} has no config`);
  const parts = [...new Set([top.part, platform.part]), await session.blob(config)];
  let firstByteMs = Infinity;
  const onFirst = (): void => void (firstByteMs = Math.min(firstByteMs, performance.now() - started));
  const queue = layers.values();
  const work = async (): Promise<void> => {
    for (const layer of queue) parts.push(await session.blob(layer, onFirst));
  };
  const workers = Array.from({ length: options.parallel ?? PARALLEL_LAYERS }, work);
  // The first failure ends the other downloads, and none is left behind.
  for (const worker of workers) worker.catch((error: unknown) => failed.abort(error));
  await Promise.allSettled(workers);
  failed.signal.throwIfAborted();
  const bytes = parts.reduce((total, part) => total + part.bytes, 0);
  return { digest: top.part.digest, parts, bytes, firstByteMs, totalMs: performance.now() - started };
}

function pick({ manifests = [] }: ManifestJson, { architecture = 'amd64' }: ImagePullOptions): string {
  const found = manifests.find((manifest) => manifest.platform?.architecture === architecture);
  if (found === undefined) throw new Error(`the index has no manifest for ${architecture}`);
  return found.digest;
}

class Session {
  readonly #options: ImagePullOptions;
  #authorization: string | undefined;

  constructor(options: ImagePullOptions) {
    this.#options = options;
  }

  async manifest(reference: string): Promise<{ part: PulledPart; json: ManifestJson }> {
    const pulled = await this.#get(`manifests/${reference}`, { headers: { accept: ACCEPT } });
    const digest = digestOf(pulled.head);
    if (reference.includes(':') && digest !== reference)
      throw new Error(`manifest ${reference} hashes to ${digest}`);
    const json: ManifestJson = JSON.parse(pulled.head.toString('utf8'));
    return { part: { digest, bytes: pulled.bytes, firstByteMs: pulled.firstByteMs }, json };
  }

  /** In memory that is used again: by `node:http` a gibibyte takes 2.3 CPU-seconds in place of 0.9, on cores that agents need. */
  async blob({ digest, size }: Descriptor, onFirst?: () => void): Promise<PulledPart> {
    const { signal, onBytes } = this.#options;
    signal?.throwIfAborted();
    const url = new URL(this.#urlOf(`blobs/${digest}`));
    if (url.protocol !== 'http:') throw new Error(`${url.origin} is not asked by plain HTTP`);
    const connection = new HttpConnection({ host: url.hostname, port: Number(url.port || 80) });
    const close = (): void => connection.close();
    signal?.addEventListener('abort', close, { once: true });
    let first = onFirst;
    try {
      const { bytes, firstByteMs } = await fetchBlob(connection, {
        path: `${url.pathname}${url.search}`,
        digest,
        headers: this.#authorization === undefined ? undefined : { authorization: this.#authorization },
        onBytes: (count) => {
          first?.();
          first = undefined;
          onBytes?.(count, digest);
        },
      });
      if (bytes !== size) throw new Error(`blob ${digest} of ${size} bytes came as ${bytes} bytes`);
      return { digest, bytes, firstByteMs };
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', close);
      close();
    }
  }

  #urlOf(path: string): string {
    const { base, repository, ns } = this.#options;
    return `${base}/v2/${repository}/${path}${ns === undefined ? '' : `?ns=${encodeURIComponent(ns)}`}`;
  }

  async #get(path: string, options: PullOptions): Promise<PulledBlob> {
    const { signal } = this.#options;
    const url = this.#urlOf(path);
    const ask = (): Promise<PulledBlob> =>
      pullBlob(url, {
        ...options,
        authorization: this.#authorization,
        ...(signal === undefined ? {} : { signal }),
      });
    let pulled = await ask();
    if (pulled.status === 401) {
      this.#authorization = await this.#answerChallenge(pulled.headers['www-authenticate'] ?? '');
      pulled = await ask();
    }
    if (pulled.status !== 200) {
      throw new Error(
        `${path} was answered ${pulled.status}: ${pulled.head.toString('utf8', 0, KEPT_TEXT_BYTES)}`,
      );
    }
    if (!pulled.complete) throw new Error(`${path} was cut after ${pulled.bytes} bytes`);
    return pulled;
  }

  /** The Authorization that the challenge asks for; the realm is asked directly, as runtimes do. */
  async #answerChallenge(challenge: string): Promise<string | undefined> {
    const { credentials } = this.#options;
    const basic =
      credentials === undefined
        ? undefined
        : `Basic ${Buffer.from(`${credentials.name}:${credentials.password}`).toString('base64')}`;
    if (!/^Bearer /i.test(challenge)) return basic;
    const part = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1] ?? '';
    const realm = new URL(part('realm'));
    realm.searchParams.set('service', part('service'));
    realm.searchParams.append('scope', part('scope'));
    const issued = await pullBlob(realm, { authorization: basic });
    if (issued.status !== 200) throw new Error(`the token realm answered ${issued.status}`);
    const { token, access_token }: { token?: string; access_token?: string } = JSON.parse(
      issued.head.toString(),
    );
    return `Bearer ${token ?? access_token ?? ''}`;
  }
}
