/** Mirrors the agent's way to an origin (`agent/pull/blob-access.ts`, `running-pulls.ts`), without what upstream says. */
import { ASK_AGAIN_MS } from '#agent/defaults.ts';
import type { SimBlob, SimHost } from './host.ts';
import { WIRE_OVERHEAD } from './scenario.ts';
import type { SimTorrent } from './torrent.ts';
import type { World } from './world.ts';

/** A request to an origin takes the connection's set-up and its own way and back. */
const ASK_ROUND_TRIPS = 3;

/** Longest wait between two questions, in shortest waits. */
const LONGEST = 8;

interface Asking {
  dueAt: number;
  delayMs: number;
}

/** Agents ask the owner of a blob for it: it joins the swarm, reading from upstream what it has not. */
export class OriginAsks {
  readonly #world: World;
  readonly #asking = new Map<SimTorrent, Asking>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Calls `then` with the answer's arrival, and has the owner dialled. Without any origin nothing more happens than that. */
  ask(host: SimHost, blob: SimBlob, then: () => void = () => undefined): void {
    const world = this.#world;
    const [first] = world.origins;
    const wait = first ? 2 * world.latencyMs(host, first) * ASK_ROUND_TRIPS : 0;
    world.clock.after(wait / 2, () => {
      const owner = world.ownerOf(blob);
      if (owner && !owner.torrents.has(blob)) this.#readUpstream(owner, blob);
      world.clock.after(wait / 2, () => {
        if (!host.alive) return;
        then();
        if (owner) host.torrents.get(blob)?.offer(world.targetOf(owner, blob));
      });
    });
  }

  /** A reader waits: asks again, ever more seldom. */
  stalled(torrent: SimTorrent, waitedMs: number): void {
    const { clock, random } = this.#world;
    if (waitedMs < ASK_AGAIN_MS) return;
    const asking = this.#asking.get(torrent) ?? { dueAt: 0, delayMs: ASK_AGAIN_MS };
    if (clock.now < asking.dueAt) return;
    asking.dueAt = clock.now + asking.delayMs * (0.75 + random() / 2);
    asking.delayMs = Math.min(asking.delayMs * 2, LONGEST * ASK_AGAIN_MS);
    this.#asking.set(torrent, asking);
    this.ask(torrent.host, torrent.blob);
  }

  /** Pieces come in order at upstream's rate. */
  #readUpstream(owner: SimHost, blob: SimBlob): void {
    const { clock, scenario } = this.#world;
    const torrent = this.#world.join(owner, blob);
    const rate = (scenario.coldFrom ?? scenario.upstream) / WIRE_OVERHEAD / scenario.scale / 1_000;
    let at = clock.now;
    for (let index = 0; index < torrent.table.count; index++) {
      at += torrent.table.sizeOf(index) / rate;
      clock.at(at, () => owner.alive && torrent.supply(index));
    }
  }
}
