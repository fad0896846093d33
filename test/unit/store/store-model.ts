import { content, KIB, type Content } from './store-fixture.ts';

export const QUOTA = 88 * KIB;
/** More than the coarseness with which the last access is written. */
export const TICK = 61_000;
export const CONTENTS: Content[] = [8, 16, 24, 32, 40, 96].map((kib) => content(`model ${kib}`, kib * KIB));

/** What both the model and the store can do; true where it could be done. */
export type Operation =
  | { kind: 'put' | 'open' | 'close'; blob: number }
  | { kind: 'partial'; blob: number; end: 'keep' | 'commit' | 'discard' }
  | { kind: 'prune'; ticks?: number; toBytes?: number }
  | { kind: 'restart'; clean: boolean };

interface Item {
  readonly blob: number;
  readonly size: number;
  lastUse: number;
  pins: number;
  suspect: boolean;
}

/** What a store does, without a disk: two lists in the order of last use. */
export class Model {
  blobs: Item[] = [];
  partials: Item[] = [];
  time = 0;

  get charged(): number {
    return [...this.blobs, ...this.partials].reduce((sum, item) => sum + item.size, 0);
  }

  item(index: number): Item {
    return { blob: index, size: CONTENTS[index]!.bytes.length, lastUse: this.time, pins: 0, suspect: false };
  }

  touch(index: number): Item | undefined {
    const item = this.blobs.find((entry) => entry.blob === index);
    if (!item) return undefined;
    this.blobs = [...this.blobs.filter((entry) => entry !== item), item];
    item.lastUse = this.time;
    item.suspect = false;
    return item;
  }

  evictUntil(enough: () => boolean): void {
    while (!enough()) {
      const victim = this.blobs.find((item) => item.pins === 0) ?? this.partials[0];
      if (!victim) return;
      this.remove(victim);
    }
  }

  remove(victim: Item): void {
    this.blobs = this.blobs.filter((item) => item !== victim);
    this.partials = this.partials.filter((item) => item !== victim);
  }

  /** False when it cannot be made to fit: then nothing goes. */
  reserve(bytes: number): boolean {
    const pinned = this.blobs.filter((item) => item.pins > 0).reduce((sum, item) => sum + item.size, 0);
    if (pinned + bytes > QUOTA) return false;
    this.evictUntil(() => this.charged + bytes <= QUOTA);
    return true;
  }

  put(index: number): boolean {
    const known = this.blobs.find((item) => item.blob === index);
    if (known?.suspect) this.touch(index);
    if (known) return true;
    const item = this.item(index);
    if (!this.reserve(item.size)) return false;
    this.blobs.push(item);
    return true;
  }

  partial(index: number, end: 'keep' | 'commit' | 'discard'): boolean {
    // Held, it is neither evicted nor counted twice.
    const kept = this.partials.find((entry) => entry.blob === index);
    if (kept) this.remove(kept);
    const item = this.item(index);
    if (!this.reserve(item.size)) {
      if (kept) this.partials.push({ ...kept, lastUse: this.time });
      return false;
    }
    if (end === 'keep') this.partials.push(item);
    if (end === 'commit' && !this.touch(index)) this.blobs.push(item);
    return true;
  }

  prune(policy: { ticks?: number; toBytes?: number }): void {
    const before = policy.ticks === undefined ? -Infinity : this.time - policy.ticks * TICK - TICK / 2;
    const goes = (item: Item): boolean => item.pins === 0 && item.lastUse < before;
    for (const item of [...this.blobs, ...this.partials].filter(goes)) this.remove(item);
    if (policy.toBytes !== undefined) this.evictUntil(() => this.charged <= policy.toBytes!);
  }

  open(index: number): boolean {
    const item = this.touch(index);
    if (item) item.pins += 1;
    return item !== undefined;
  }

  close(index: number): boolean {
    const item = this.blobs.find((entry) => entry.blob === index && entry.pins > 0);
    if (item) item.pins -= 1;
    return item !== undefined;
  }

  restart(clean: boolean): void {
    for (const item of this.blobs) {
      item.pins = 0;
      item.suspect ||= !clean;
    }
  }

  apply(step: Operation): boolean {
    switch (step.kind) {
      case 'put':
        return this.put(step.blob);
      case 'partial':
        return this.partial(step.blob, step.end);
      case 'open':
        return this.open(step.blob);
      case 'close':
        return this.close(step.blob);
      case 'prune':
        this.prune(step);
        break;
      case 'restart':
        this.restart(step.clean);
    }
    return true;
  }
}
