import { asError } from '#registry/as-error.ts';
import type { BytesBySource, NodeProgress } from './live-table.ts';
import { pullImage, type ImagePullOptions, type PulledImage } from './pull-image.ts';

const NOTHING: BytesBySource = { cache: 0, peer: 0, origin: 0, upstream: 0 };

/** One node's pull of the image: how far it is, and what came of it. */
export class NodePull {
  readonly name: string;
  /** Blobs of which bytes came since this was last emptied. */
  readonly arriving = new Set<string>();
  pulled: PulledImage | undefined;
  failure: Error | undefined;
  readonly #now: () => number;
  readonly #sources = new Map<string, BytesBySource>();
  #bytes = 0;
  #started: number | undefined;
  #ended: number | undefined;

  /** @param now milliseconds */
  constructor(name: string, now: () => number) {
    this.name = name;
    this.#now = now;
  }

  /** Pulls, and verifies every part by its digest; a failure is kept, not thrown. */
  async run(options: Omit<ImagePullOptions, 'onBytes'>, expectedDigest: string): Promise<void> {
    this.#started = this.#now();
    const onBytes = (count: number, digest: string): void => {
      this.#bytes += count;
      this.arriving.add(digest);
    };
    try {
      const pulled = await pullImage({ ...options, onBytes });
      if (pulled.digest !== expectedDigest)
        throw new Error(`the tag ${options.reference} brought ${pulled.digest} instead of ${expectedDigest}`);
      this.pulled = pulled;
      this.#bytes = pulled.bytes;
    } catch (error) {
      this.failure = asError(error);
    } finally {
      this.#ended = this.#now();
    }
  }

  /** Where the bytes of one part came from, as far as it has come. */
  learn(digest: string, sources: BytesBySource): void {
    this.#sources.set(digest, sources);
  }

  /** Where all bytes came from, as far as it was learnt. */
  get sources(): BytesBySource {
    const sum = { ...NOTHING };
    for (const sources of this.#sources.values()) {
      for (const name of ['cache', 'peer', 'origin', 'upstream'] as const) sum[name] += sources[name];
    }
    return sum;
  }

  get seconds(): number {
    return this.#started === undefined ? 0 : ((this.#ended ?? this.#now()) - this.#started) / 1000;
  }

  get progress(): NodeProgress {
    const { name, sources, seconds } = this;
    return { name, bytes: this.#bytes, sources, state: this.#state, seconds };
  }

  get #state(): NodeProgress['state'] {
    if (this.failure !== undefined) return 'failed';
    if (this.pulled !== undefined) return 'done';
    return this.#started === undefined ? 'waiting' : 'pulling';
  }
}
