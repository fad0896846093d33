import { type Hash, hash } from 'node:crypto';
import { digestHash, digestHex } from '#registry/digest.ts';
import { pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { BlobDamagedError } from '#swarm/store/errors.ts';
import { DigestMismatchError } from './errors.ts';
import type { HashTable } from './hash-table.ts';

/**
 * A stored blob whose bytes are compared with their hashes when they are read. Of one that was read without an origin no
 * hashes are known: then whoever reads all of it gets the end only if the whole matches the digest.
 */
export class CheckedBlob implements AsyncDisposable {
  readonly #blob: StoredBlob;
  readonly #hashes: Pick<HashTable, 'get' | 'complete'>;

  constructor(blob: StoredBlob, hashes: Pick<HashTable, 'get' | 'complete'>) {
    this.#blob = blob;
    this.#hashes = hashes;
  }

  /** In bytes. */
  get size(): number {
    return this.#blob.size;
  }

  /**
   * The bytes from `start` to before `end`, in order. Two buffers take turns, so a chunk is good only until the second
   * call of `next` after the one that gave it; the reader may send one while the next is being read.
   * @throws BlobDamagedError in front of the first byte of a piece that is not what was stored; DigestMismatchError
   * in front of the last where that was not seen in time
   */
  async *read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const length = pieceLength(this.size);
    const buffers = [0, 1].map(() => Buffer.allocUnsafe(Math.min(length, this.size)));
    const needsWhole = !this.#hashes.complete && start === 0 && end === this.size;
    const whole = needsWhole ? digestHash(this.#blob.digest) : undefined;
    for (let position = start, turn = 0; position < end; turn += 1) {
      signal.throwIfAborted();
      const index = Math.floor(position / length);
      const piece = buffers[turn % 2]!.subarray(0, sizeOfPiece(this.size, index));
      await this.#readPiece(index, piece);
      const chunk = piece.subarray(position - index * length, end - index * length);
      position += chunk.length;
      whole?.update(chunk);
      if (whole && position === end) this.#compare(whole);
      yield chunk;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#blob[Symbol.asyncDispose]();
  }

  async #readPiece(index: number, target: Buffer): Promise<void> {
    await this.#blob.read(index * pieceLength(this.size), target);
    const expected = this.#hashes.get(index);
    if (!expected || hash('sha256', target, 'buffer').equals(expected)) return;
    const damage = new BlobDamagedError(`piece ${index} is not what was stored`);
    this.#blob.drop(damage);
    throw damage;
  }

  #compare(whole: Hash): void {
    const { digest } = this.#blob;
    if (whole.digest('hex') === digestHex(digest)) return;
    const mismatch = new DigestMismatchError(digest);
    this.#blob.drop(mismatch);
    throw mismatch;
  }
}
