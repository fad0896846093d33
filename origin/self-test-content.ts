import { pause } from '#registry/retry.ts';
import { SELF_TEST, type SelfTestContent, selfTestImages } from '#registry/self-test.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { fullName } from './caller.ts';
import { SELF_TEST_CHECK_MS, SMALL_BYTES } from './defaults.ts';
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
}

/**
 * Keeps the images that agents pull before they are ready in the store, as if their registry had delivered them; what was
 * evicted or pruned is put back within a minute.
 */
export class SelfTestImageHolder implements AsyncDisposable {
  readonly #parts: SelfTestContentParts;
  readonly #stop = new AbortController();
  readonly #run: Promise<void>;

  constructor(parts: SelfTestContentParts) {
    this.#parts = parts;
    this.#run = this.#keep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#run;
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stop;
    const digests = contents().map(({ digest }) => digest);
    while (!signal.aborted) {
      if (!digests.every((digest) => this.#parts.store.has(digest))) await this.#holdMissing();
      await pause(SELF_TEST_CHECK_MS, signal).catch(() => {});
    }
  }

  /** Their 6 MB are made when some of it is missing, and not kept. */
  async #holdMissing(): Promise<void> {
    const { store, events } = this.#parts;
    for (const content of contents().filter(({ digest }) => !store.has(digest))) {
      await this.#hold(content).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) events.failed('a self-test image is not held', error);
      });
    }
  }

  async #hold(content: SelfTestContent): Promise<void> {
    const { digest, bytes, mediaType } = content;
    if (bytes.length > SMALL_BYTES) await this.#feed(content);
    else await this.#parts.small.take({ ...SELF_TEST, positive: true }, digest, bytes, mediaType);
  }

  async #feed({ digest, bytes }: SelfTestContent): Promise<void> {
    const { engine, signer, now } = this.#parts;
    const torrent = await engine.torrent({ digest, scope: SELF_TEST.registry, size: bytes.length });
    try {
      if (torrent.scope === VERIFIED) return;
      torrent.note({ registries: [SELF_TEST.registry], repositories: [fullName(SELF_TEST)] });
      torrent.pieces.onWhole = () => signer.signWhole(torrent);
      using pieces = new PieceFeed({ torrent, signer, now, onSupplied: () => {} }, 0);
      pieces.push(bytes);
      pieces.flush();
      await torrent.whenComplete(
        AbortSignal.any([this.#stop.signal, AbortSignal.timeout(SELF_TEST_CHECK_MS)]),
      );
    } finally {
      torrent.pieces.onWhole = undefined;
      torrent.release();
    }
  }
}

function contents(): readonly SelfTestContent[] {
  return [...selfTestImages()].flat();
}
