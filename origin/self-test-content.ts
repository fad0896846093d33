import { SELF_TEST, type SelfTestContent, selfTestImage } from '#registry/self-test.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { VERIFIED } from '#swarm/session/torrent.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { fullName } from './caller.ts';
import { SMALL_BYTES } from './defaults.ts';
import type { OriginEvents } from './events.ts';
import type { HashSigner } from './hash-signer.ts';
import { PieceFeed } from './piece-feed.ts';
import type { SmallContent } from './small-content.ts';

export interface SelfTestContentParts {
  readonly store: Pick<BlobStore, 'has'>;
  readonly engine: Pick<Engine, 'torrent'>;
  readonly signer: HashSigner;
  readonly small: Pick<SmallContent, 'take'>;
  readonly events: Pick<OriginEvents, 'failed'>;
  readonly now: () => number;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** Puts the image that agents pull before they are ready into the store, as if its registry had delivered it. */
export async function holdSelfTestImage(parts: SelfTestContentParts): Promise<void> {
  for (const content of selfTestImage()) {
    if (parts.store.has(content.digest)) continue;
    try {
      if (content.bytes.length > SMALL_BYTES) await feed(parts, content);
      else
        await parts.small.take(
          { ...SELF_TEST, positive: true },
          content.digest,
          content.bytes,
          content.mediaType,
        );
    } catch (error) {
      if (parts.life.aborted) return;
      parts.events.failed('the self-test image cannot be held', error);
    }
  }
}

async function feed(parts: SelfTestContentParts, { digest, bytes }: SelfTestContent): Promise<void> {
  const { engine, signer, now, life } = parts;
  const torrent = await engine.torrent({ digest, scope: SELF_TEST.registry, size: bytes.length });
  try {
    if (torrent.scope === VERIFIED) return;
    torrent.note({ registries: [SELF_TEST.registry], repositories: [fullName(SELF_TEST)] });
    torrent.pieces.onWhole = () => signer.signWhole(torrent);
    using pieces = new PieceFeed({ torrent, signer, now, onSupplied: () => {} }, 0);
    pieces.push(bytes);
    pieces.flush();
    await torrent.whenComplete(life);
  } finally {
    torrent.pieces.onWhole = undefined;
    torrent.release();
  }
}
