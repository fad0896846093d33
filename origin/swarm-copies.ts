import type { Digest } from '#registry/digest.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import type { Announcer } from '#swarm/announce/announcer.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { type Caller, fullName } from './caller.ts';
import { PROOF_FROM_PEERS_MS, REPLICAS_MS, SMALL_BYTES, SWARM_STALL_MS } from './defaults.ts';
import { isUpstreamsFault } from './errors.ts';
import type { OriginEvents } from './events.ts';
import type { Provenance } from './provenance.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';

export interface SwarmCopiesParts {
  readonly engine: Pick<Engine, 'torrent'>;
  readonly announcer: Pick<Announcer, 'replicas' | 'reachable'>;
  readonly provenance: Provenance;
  readonly events: Pick<OriginEvents, 'failed'>;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/**
 * Blobs that the cluster holds, verified, and this origin does not: they come from the swarm and not over the wide
 * link again, once the caller's registry has proved by a random range that it has them.
 */
export class SwarmCopies {
  readonly #parts: SwarmCopiesParts;
  /** On their way from the swarm; their facts say whose registry has proved to have them. */
  readonly #coming = new Map<Digest, Torrent>();

  constructor(parts: SwarmCopiesParts) {
    this.#parts = parts;
  }

  /** The size of a blob on its way from the swarm, where the caller's registry has proved to have it in that repository. */
  coming(caller: Caller, digest: Digest): number | undefined {
    const torrent = this.#coming.get(digest);
    if (!torrent?.facts.registries.includes(caller.registry)) return undefined;
    return torrent.facts.repositories.includes(fullName(caller)) ? torrent.size : undefined;
  }

  /**
   * @returns the blob's size where the swarm has it and the registry too; undefined where the swarm does not help
   * @throws WrongContentError, UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError
   */
  async find(caller: Caller, digest: Digest): Promise<number | undefined> {
    const coming = this.coming(caller, digest);
    if (coming !== undefined) return coming;
    if (!(await this.exist(digest))) return undefined;
    const { provenance, engine, life } = this.#parts;
    const size = await provenance.askMember(caller, digest, life);
    if (size === undefined || size <= SMALL_BYTES) return undefined;
    const torrent = await engine.torrent({ digest, scope: VERIFIED, size });
    if (!(await this.#prove(caller, torrent))) {
      torrent.release();
      return undefined;
    }
    torrent.note({ registries: [caller.registry], repositories: [fullName(caller)] });
    void this.#fetch(torrent);
    return size;
  }

  /** False where peers do not give the bytes in time. */
  async #prove(caller: Caller, torrent: Torrent): Promise<boolean> {
    const { provenance, life } = this.#parts;
    const { digest, size } = torrent;
    const inTime = AbortSignal.any([life, AbortSignal.timeout(PROOF_FROM_PEERS_MS)]);
    const read = async ({ start, end }: { start: number; end: number }): Promise<Buffer> => {
      const chunks: Buffer[] = [];
      for await (const chunk of torrent.read(start, end + 1, inTime)) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks);
    };
    try {
      await provenance.prove(caller, { digest, size, read }, life);
      return true;
    } catch (error) {
      if (error instanceof UpstreamRefusedError || isUpstreamsFault(error)) {
        torrent.release();
        throw error;
      }
      life.throwIfAborted();
      return false;
    }
  }

  /** This origin becomes one of those that have it; given up where nothing comes any more. */
  async #fetch(torrent: Torrent): Promise<void> {
    const { life, events } = this.#parts;
    const { held } = torrent.pieces.table;
    this.#coming.set(torrent.digest, torrent);
    try {
      for (let before = -1; before < held.count;) {
        before = held.count;
        const isOver = await completes(torrent, AbortSignal.any([life, AbortSignal.timeout(SWARM_STALL_MS)]));
        if (isOver || life.aborted) return;
      }
      events.failed('a blob could not be had of the swarm', new Error(torrent.digest));
    } catch (error) {
      events.failed('a blob could not be had of the swarm', error);
    } finally {
      torrent.release();
      this.#coming.delete(torrent.digest);
    }
  }

  /** Whether the swarm has it; without a tracker nobody can be found either. */
  async exist(digest: Digest): Promise<boolean> {
    const { announcer, life } = this.#parts;
    if (!announcer.reachable) return false;
    const id = verifiedSwarmId(digest).toString('hex');
    try {
      const signal = AbortSignal.any([life, AbortSignal.timeout(REPLICAS_MS)]);
      return ((await announcer.replicas([id], signal)).get(id) ?? 0) > 0;
    } catch {
      life.throwIfAborted();
      return false;
    }
  }
}

/** False where the signal came first. */
async function completes(torrent: Torrent, signal: AbortSignal): Promise<boolean> {
  try {
    await torrent.whenComplete(signal);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
