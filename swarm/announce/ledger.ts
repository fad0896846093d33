import { MAX_PEERS_PER_MESSAGE, MAX_SWARMS_PER_MESSAGE } from './messages.ts';
import type { AnnounceRequest } from './messages.ts';

/** What of an announce is change. */
export type Delta = Required<Pick<AnnounceRequest, 'join' | 'update' | 'leave' | 'more' | 'alias'>>;

interface Wish {
  complete: boolean;
  readonly digest: string | undefined;
  /** Peers to be asked for with the next message; 0: none. */
  want: number;
}

/** What a tracker was told of a swarm. */
interface Told {
  /** Undefined: a message that said so may have been lost. */
  readonly complete: boolean | undefined;
  /** Its info-hash. */
  readonly alias: string | undefined;
}

/**
 * What an announcer's tracker should know against what it was told. A delta is taken, sent, and then
 * either confirmed or reverted; it is worked out from the two states, so sending one twice does no harm.
 */
export class Ledger {
  readonly #wishes = new Map<string, Wish>();
  readonly #aliases = new Map<string, { readonly infoHash: string; readonly digest: string }>();
  readonly #told = new Map<string, Told>();
  /** Swarms in which the two may differ. */
  readonly #changed = new Set<string>();
  readonly #refused = new Set<string>();

  /** Whether there is something to tell. */
  get pending(): boolean {
    return this.#changed.size > 0;
  }

  join(swarm: string, wish: { complete: boolean; want: number; digest?: string | undefined }): void {
    this.#wishes.set(swarm, { complete: wish.complete, want: wish.want, digest: wish.digest });
    this.#changed.add(swarm);
  }

  setComplete(swarm: string, complete: boolean): void {
    const wish = this.#wishes.get(swarm);
    if (wish === undefined || wish.complete === complete) return;
    wish.complete = complete;
    this.#changed.add(swarm);
  }

  ask(swarm: string, want: number): void {
    const wish = this.#wishes.get(swarm);
    if (wish === undefined || want <= 0) return;
    wish.want = Math.max(wish.want, want);
    this.#changed.add(swarm);
  }

  leave(swarm: string): void {
    if (!this.#wishes.delete(swarm)) return;
    this.#aliases.delete(swarm);
    this.#refused.delete(swarm);
    if (this.#told.has(swarm)) this.#changed.add(swarm);
    else this.#changed.delete(swarm);
  }

  /** Told as soon as the swarm is joined, and forgotten when it is left. */
  setAlias(swarm: string, alias: { infoHash: string; digest: string }): void {
    this.#aliases.set(swarm, alias);
    if (this.#wishes.has(swarm)) this.#changed.add(swarm);
  }

  /** The tracker knows nothing any more. Peers are not asked for again: those that are known have not gone. */
  restart(): void {
    this.#told.clear();
    this.#changed.clear();
    this.#refused.clear();
    for (const swarm of this.#wishes.keys()) this.#changed.add(swarm);
  }

  /** Joins that the tracker had no room for become due again. */
  retryRefused(): void {
    for (const swarm of this.#refused) this.#changed.add(swarm);
    this.#refused.clear();
  }

  /** As much of what is to be told as fits one message. */
  take(): Delta {
    const delta: Delta = { join: [], update: [], leave: [], more: [], alias: [] };
    let swarms = MAX_SWARMS_PER_MESSAGE;
    let peers = MAX_PEERS_PER_MESSAGE;
    for (const swarm of this.#changed) {
      const wish = this.#wishes.get(swarm);
      peers -= wish?.want ?? 0;
      if (swarms-- === 0 || peers < 0) break;
      this.#changed.delete(swarm);
      if (wish !== undefined) this.#tell(swarm, wish, delta);
      else if (this.#told.has(swarm)) delta.leave.push(swarm);
    }
    return delta;
  }

  confirm(delta: Delta, refused: readonly string[]): void {
    for (const swarm of delta.leave) this.#told.delete(swarm);
    for (const { swarm, complete } of delta.join) {
      this.#told.set(swarm, { complete, alias: undefined });
      // Left while the message was under way.
      if (!this.#wishes.has(swarm)) this.#changed.add(swarm);
    }
    for (const { swarm, complete } of delta.update)
      this.#told.set(swarm, { ...this.#told.get(swarm)!, complete });
    for (const { swarm, infoHash } of delta.alias) {
      this.#told.set(swarm, { ...this.#told.get(swarm)!, alias: infoHash });
    }
    const wanted = new Map(delta.join.map(({ swarm, want }) => [swarm, want]));
    for (const swarm of refused) this.#noteRefusal(swarm, wanted.get(swarm) ?? 0);
  }

  /** The message may or may not have been applied. */
  revert(delta: Delta): void {
    for (const { swarm, want } of [...delta.join, ...delta.more]) {
      const wish = this.#wishes.get(swarm);
      if (wish !== undefined) wish.want = Math.max(wish.want, want);
    }
    for (const { swarm } of [...delta.join, ...delta.update]) {
      this.#told.set(swarm, { complete: undefined, alias: this.#told.get(swarm)?.alias });
    }
    for (const list of [delta.join, delta.update, delta.more, delta.alias]) {
      for (const { swarm } of list) this.#changed.add(swarm);
    }
    for (const swarm of delta.leave) {
      // Joined again meanwhile, it has to be told so, for the leave may have been heard.
      this.#told.set(swarm, { complete: undefined, alias: undefined });
      this.#changed.add(swarm);
    }
  }

  #tell(swarm: string, wish: Wish, delta: Delta): void {
    const told = this.#told.get(swarm);
    const { complete, digest, want } = wish;
    wish.want = 0;
    if (told?.complete === undefined)
      delta.join.push({ swarm, complete, want, ...(digest !== undefined && { digest }) });
    else {
      if (told.complete !== complete) delta.update.push({ swarm, complete });
      if (want > 0) delta.more.push({ swarm, want });
    }
    const alias = this.#aliases.get(swarm);
    if (alias !== undefined && told?.alias !== alias.infoHash) delta.alias.push({ swarm, ...alias });
  }

  #noteRefusal(swarm: string, want: number): void {
    const wish = this.#wishes.get(swarm);
    this.#told.delete(swarm);
    if (wish === undefined) return;
    wish.want = Math.max(wish.want, want);
    this.#refused.add(swarm);
  }
}
