import { createCipheriv, createHash } from 'node:crypto';
import { type Digest, digestOf } from './digest.ts';
import { OCI_MANIFEST } from './media-types.ts';

/**
 * A repository that no registry on the network has (`.internal` is never delegated, ICANN 2024): origins hold its
 * content by themselves, the same in every cluster, and agents pull it before they say that they are ready.
 */
export const SELF_TEST = { registry: 'self-test.shoal.internal', repository: 'shoal/self-test' } as const;

/** Whether that repository is asked for: it is nobody's to allow or deny, and its registry is never asked. */
export function isSelfTest({ registry, repository }: { registry: string; repository: string }): boolean {
  return registry === SELF_TEST.registry && repository === SELF_TEST.repository;
}

export interface SelfTestContent {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** As many as it takes until what a pull runs through is compiled for speed: one leaves the first real pull half as fast. */
const IMAGES = 5;
const LAYERS = 2;
/** Bytes of each layer: some pieces, so that the swarm brings it. */
const LAYER_BYTES = 640 * 1024;

/** The images one by one, each in the order in which a runtime asks for it: manifest, config, layers. */
export function* selfTestImages(): Generator<readonly SelfTestContent[]> {
  for (let image = 0; image < IMAGES; image++) yield selfTestImage(image);
}

function selfTestImage(image: number): readonly SelfTestContent[] {
  const zeros = Buffer.alloc(LAYER_BYTES);
  const layers = Array.from({ length: LAYERS }, (_, layer) =>
    blobOf(noise(`image ${image}, layer ${layer}`, zeros), 'application/vnd.oci.image.layer.v1.tar'),
  );
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) };
  const config = blobOf(
    Buffer.from(JSON.stringify({ architecture: 'none', os: 'none', rootfs })),
    'application/vnd.oci.image.config.v1+json',
  );
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: descriptorOf(config),
      layers: layers.map(descriptorOf),
    }),
  );
  return [{ kind: 'manifest', digest: digestOf(bytes), bytes, mediaType: OCI_MANIFEST }, config, ...layers];
}

function blobOf(bytes: Buffer, mediaType: string): SelfTestContent {
  return { kind: 'blob', digest: digestOf(bytes), bytes, mediaType };
}

function descriptorOf({ mediaType, digest, bytes }: SelfTestContent): object {
  return { mediaType, digest, size: bytes.length };
}

/** Bytes that are the same everywhere and that no disk or link can make smaller. */
function noise(seed: string, zeros: Buffer): Buffer {
  const key = createHash('sha256').update(`shoal self-test ${seed}`).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(zeros);
}
