import { createHmac, randomBytes } from 'node:crypto';

/** A client may use a connection id for one minute, a tracker accepts it for two (BEP 15). */
const EPOCH_MS = 60_000;
const ACCEPTED_EPOCHS = 2;

/**
 * BEP 15's connection ids, which show that a sender gets what is sent to its address. They are a keyed
 * hash of address and time, so that a flood of connect requests leaves nothing behind.
 */
export class ConnectionIds {
  readonly #key = randomBytes(32);
  readonly #now: () => number;

  constructor(parts: { now: () => number }) {
    this.#now = parts.now;
  }

  issue(address: string): bigint {
    return this.#of(address, this.#epoch());
  }

  isValid(address: string, id: bigint): boolean {
    const epoch = this.#epoch();
    return Array.from({ length: ACCEPTED_EPOCHS }, (_, back) => this.#of(address, epoch - back)).includes(id);
  }

  #epoch(): number {
    return Math.floor(this.#now() / EPOCH_MS);
  }

  #of(address: string, epoch: number): bigint {
    return createHmac('sha256', this.#key).update(`${epoch} ${address}`).digest().readBigUInt64BE(0);
  }
}
