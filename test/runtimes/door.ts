import { pullBlob, type PulledBlob, type PullOptions } from '../../demo/pull-blob.ts';

export interface Asked {
  /** The upstream's name, as containerd puts it into `ns`. */
  registry: string;
  repository: string;
  authorization?: string | undefined;
}

interface Descriptor {
  digest: string;
  size: number;
  platform?: { architecture: string };
}

/** What a runtime takes of linux/amd64, in one struct. */
export interface PulledImage {
  index: PulledBlob;
  manifest: PulledBlob;
  /** By digest: config and layers. */
  blobs: Map<string, PulledBlob>;
  totalMs: number;
  /** From the start of the pull to the first byte of the first layer's body. */
  firstLayerByteMs: number;
}

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');
const LAYERS_AT_ONCE = 3;

/** Asks an agent's door, or a registry itself, for one thing as containerd does. */
export function ask(
  door: string,
  path: string,
  { registry, repository, authorization }: Asked,
  options: PullOptions = {},
): Promise<PulledBlob> {
  const url = new URL(`/v2/${repository}/${path}`, door);
  url.searchParams.set('ns', registry);
  const headers = { accept: path.startsWith('manifests/') ? ACCEPT : '*/*', ...options.headers };
  return pullBlob(url, { ...options, headers, authorization });
}

/**
 * Pulls linux/amd64 as containerd does: index, manifest, then config and layers, three at a time.
 * @throws Error when a part is refused, cut, or not what its digest says.
 */
export async function pullImage(
  door: string,
  reference: string,
  asked: Asked,
  options: PullOptions = {},
): Promise<PulledImage> {
  const started = performance.now();
  const index = expectWhole(reference, await ask(door, `manifests/${reference}`, asked, options));
  const { manifests }: { manifests: Descriptor[] } = JSON.parse(index.head.toString('utf8'));
  const chosen = manifests.find((item) => item.platform?.architecture === 'amd64');
  if (chosen === undefined)
    throw new Error(`no linux/amd64 in the index of ${asked.repository}:${reference}`);
  const manifest = expectWhole(chosen.digest, await ask(door, `manifests/${chosen.digest}`, asked, options));
  const { config, layers }: { config: Descriptor; layers: Descriptor[] } = JSON.parse(
    manifest.head.toString('utf8'),
  );
  const blobs = new Map<string, PulledBlob>();
  let firstLayerByteMs = Number.POSITIVE_INFINITY;
  const queue = [config, ...layers];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { digest } = next;
      const begun = performance.now() - started;
      const blob = expectWhole(digest, await ask(door, `blobs/${digest}`, asked, options));
      if (digest !== config.digest) {
        firstLayerByteMs = Math.min(firstLayerByteMs, begun + (blob.firstByteMs ?? Number.POSITIVE_INFINITY));
      }
      blobs.set(digest, blob);
    }
  };
  await Promise.all(Array.from({ length: LAYERS_AT_ONCE }, worker));
  return { index, manifest, blobs, totalMs: performance.now() - started, firstLayerByteMs };
}

function expectWhole(reference: string, blob: PulledBlob): PulledBlob {
  if (blob.status !== 200)
    throw new Error(`${reference}: status ${blob.status}: ${blob.head.toString('utf8')}`);
  if (!blob.complete) throw new Error(`${reference}: cut after ${blob.bytes} bytes`);
  if (reference.startsWith('sha256:') && reference !== `sha256:${blob.sha256}`) {
    throw new Error(`${reference}: got bytes of sha256:${blob.sha256}`);
  }
  return blob;
}
