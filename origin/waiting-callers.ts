import type { UpstreamRefusedError } from '#registry/upstream-error.ts';
import { type Caller, isSameCredential } from './caller.ts';
import { MAX_CALLERS } from './defaults.ts';

/**
 * In whose name one blob is read: the caller whose request opened the read and, once upstream refuses that
 * credential, another one who waits for the same blob. Those with upstream's yes go first, the newest of them
 * before all; of the others upstream decides by its answer. Bounded; what upstream refused is forgotten.
 */
export class WaitingCallers {
  #current: Caller;
  #others: Caller[] = [];
  #refusal: UpstreamRefusedError | undefined;

  constructor(opener: Caller) {
    this.#current = { ...opener, positive: true };
  }

  get count(): number {
    return (this.#refusal === undefined ? 1 : 0) + this.#others.length;
  }

  /** The one to ask for. @throws UpstreamRefusedError the last refusal, when none is left */
  get current(): Caller {
    if (this.#refusal !== undefined) throw this.#refusal;
    return this.#current;
  }

  offer(caller: Caller): void {
    if (this.#refusal === undefined && isSameCredential(caller, this.#current)) return;
    const known = this.#others.find((other) => isSameCredential(other, caller));
    if (known) this.#others.splice(this.#others.indexOf(known), 1);
    this.#others.push({ ...caller, positive: caller.positive || known?.positive === true });
    if (this.#refusal !== undefined) this.#next();
    if (this.#others.length >= MAX_CALLERS) this.#others.splice(this.#leastUseful(), 1);
  }

  /** Upstream said no to the current one. @throws the refusal, when there is no other */
  refused(refusal: UpstreamRefusedError): void {
    this.#refusal = refusal;
    if (!this.#next()) throw refusal;
  }

  /** What is read in the current one's name comes too slowly: another's turn, if another waits. */
  slow(): void {
    const slow = this.#current;
    if (this.#next()) this.#others.unshift(slow);
  }

  #next(): boolean {
    const best = this.#others.findLast(({ positive }) => positive) ?? this.#others.at(-1);
    if (!best) return false;
    this.#others.splice(this.#others.indexOf(best), 1);
    this.#current = best;
    this.#refusal = undefined;
    return true;
  }

  #leastUseful(): number {
    return Math.max(
      0,
      this.#others.findIndex(({ positive }) => !positive),
    );
  }
}
