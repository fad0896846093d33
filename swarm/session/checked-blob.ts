import type { Hash } from 'node:crypto';
import { digestHash, digestHex } from '#registry/digest.ts';
import { pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { ANSWER_CHUNK_BYTES } from './defaults.ts';
import { DigestMismatchError } from './errors.ts';
import type { HashTable } from './hash-table.ts';
import { refuseDamaged } from './damaged-piece.ts';
import type { PieceMemory } from './piece-memory.ts';
import type { ReadMemory } from './read-memory.ts';

interface Chunk {
  readonly bytes: Buffer;
  /** Used again once the reader is done with the bytes; undefined where they have memory of their own. */
  readonly memory: PieceMemory | undefined;
  /** Bytes that count as lent until then. */
  readonly lent: number;
}

/**
 * A stored blob whose bytes are compared with their hashes when they are read. Of one that was read without an origin no
 * hashes are known: then whoever reads all of it gets the end only if the whole matches the digest.
 */
export class CheckedBlob implements AsyncDisposable {
  readonly #blob: StoredBlob;
  readonly #hashes: Pick<HashTable, 'has' | 'matches' | 'complete'>;
  readonly #memory: ReadMemory;

  constructor(blob: StoredBlob, hashes: Pick<HashTable, 'has' | 'matches' | 'complete'>, memory: ReadMemory) {
    this.#blob = blob;
    this.#memory = memory;
    this.#hashes = hashes;
  }

  /** In bytes. */
  get size(): number {
    return this.#blob.size;
  }

  /**
   * The bytes from `start` to before `end`, in order. Memory is used again, so a chunk is good only until the second call
   * of `next` after the one that gave it; the reader may send one while the next is being read.
   * @throws BlobDamagedError in front of the first byte of a piece that is not what was stored; DigestMismatchError
   * in front of the last where that was not seen in time
   */
  async *read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const needsWhole = !this.#hashes.complete && start === 0 && end === this.size;
    const whole = needsWhole ? digestHash(this.#blob.digest) : undefined;
    const given: Chunk[] = [];
    try {
      for (let position = start; position < end;) {
        signal.throwIfAborted();
        const chunk = await this.#chunk(position, end);
        given.push(chunk);
        position += chunk.bytes.length;
        whole?.update(chunk.bytes);
        if (whole && position === end) this.#compare(whole);
        yield chunk.bytes;
        if (given.length > 1) this.#takeBack(given.shift()!);
      }
    } finally {
      // The reader may still be sending them: their memory is not used again.
      for (const { lent } of given) this.#memory.giveBack(lent);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#blob[Symbol.asyncDispose]();
  }

  /** The next bytes of a range: the rest of their piece, or as much of it as may be kept. */
  async #chunk(position: number, end: number): Promise<Chunk> {
    const index = Math.floor(position / pieceLength(this.size));
    const first = index * pieceLength(this.size);
    const size = sizeOfPiece(this.size, index);
    const wanted = Math.min(end, first + size) - position;
    if (!this.#hashes.has(index)) return this.#unchecked(position, Math.min(wanted, ANSWER_CHUNK_BYTES));
    const memory = await this.#memory.filled(size, async (target) => {
      await this.#blob.read(first, target);
      if (!this.#hashes.matches(index, target)) refuseDamaged(index, this.#blob);
    });
    const bytes = memory.data.subarray(position - first, position - first + wanted);
    // Most of a long piece would be kept for nothing.
    const isWorthIt = wanted > size / 2;
    if (isWorthIt && size <= ANSWER_CHUNK_BYTES) return { bytes, memory, lent: 0 };
    if (isWorthIt && this.#memory.lend(size)) return { bytes, memory, lent: size };
    const copy = Buffer.from(bytes.subarray(0, ANSWER_CHUNK_BYTES));
    memory.release();
    return { bytes: copy, memory: undefined, lent: 0 };
  }

  async #unchecked(position: number, length: number): Promise<Chunk> {
    const memory = await this.#memory.filled(length, (target) => this.#blob.read(position, target));
    return { bytes: memory.data, memory, lent: 0 };
  }

  #takeBack({ memory, lent }: Chunk): void {
    memory?.release();
    this.#memory.giveBack(lent);
  }

  #compare(whole: Hash): void {
    const { digest } = this.#blob;
    if (whole.digest('hex') === digestHex(digest)) return;
    const mismatch = new DigestMismatchError(digest);
    this.#blob.drop(mismatch);
    throw mismatch;
  }
}
