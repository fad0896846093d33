import { backoffMs } from '#registry/retry.ts';
import { MAX_ADDRESSES } from './defaults.ts';
import type { PeerRole } from './peer-session.ts';

/** Somebody to dial, and by which swarm id or info-hash. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  readonly role: PeerRole;
  /** 20 bytes. */
  readonly infoHash: Buffer;
  /** Its peer id in hex, where the tracker told it. */
  readonly peerId?: string;
}

interface Entry {
  readonly target: DialTarget;
  failures: number;
  nextAt: number;
  busy: boolean;
}

/** In the order in which they are dialled. */
const ROLES: readonly PeerRole[] = ['origin', 'agent', 'stranger'];

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
/** An address that failed this often in a row is forgotten. */
const MAX_FAILURES = 8;

/** Addresses of peers of one torrent, when to try each next, and which are taken. Bounded. */
export class Addresses {
  readonly #entries = new Map<string, Entry>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  add(target: DialTarget): void {
    const key = keyOf(target);
    if (this.#entries.has(key) || this.#entries.size >= MAX_ADDRESSES) return;
    this.#entries.set(key, { target, failures: 0, nextAt: 0, busy: false });
  }

  /**
   * Up to `count` targets to dial now, origins first and strangers last; they count as busy until `failed`. Of one address only one
   * at a time: a process may be known by several swarm ids, and one connection serves.
   */
  take(count: number, now: number, connected: (peerId: string) => boolean): DialTarget[] {
    const entries = [...this.#entries.values()];
    const engaged = new Set(entries.filter(({ busy }) => busy).map(({ target }) => addressOf(target)));
    const due = entries.filter(
      ({ nextAt, target }) => nextAt <= now && !(target.peerId !== undefined && connected(target.peerId)),
    );
    due.sort((a, b) => ROLES.indexOf(a.target.role) - ROLES.indexOf(b.target.role));
    const taken: DialTarget[] = [];
    for (const entry of due) {
      if (taken.length === count) break;
      const address = addressOf(entry.target);
      if (engaged.has(address)) continue;
      engaged.add(address);
      entry.busy = true;
      taken.push(entry.target);
    }
    return taken;
  }

  connected(target: DialTarget): void {
    const entry = this.#entries.get(keyOf(target));
    if (entry) entry.failures = 0;
  }

  /** It could not be reached, or the connection is over: later again, ever more seldom, at last never. */
  failed(target: DialTarget, now: number): void {
    const entry = this.#entries.get(keyOf(target));
    if (!entry) return;
    entry.busy = false;
    entry.failures++;
    if (entry.failures >= MAX_FAILURES) this.#entries.delete(keyOf(target));
    const backoff = { baseMs: FIRST_RETRY_MS, capMs: LAST_RETRY_MS, random: this.#random };
    entry.nextAt = now + backoffMs(entry.failures, backoff);
  }

  /** It must not be dialled again. */
  remove(target: DialTarget): void {
    this.#entries.delete(keyOf(target));
  }
}

function addressOf({ host, port }: DialTarget): string {
  return `${host} ${port}`;
}

function keyOf(target: DialTarget): string {
  return `${addressOf(target)} ${target.infoHash.toString('hex')}`;
}
