import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { owners } from '#swarm/core/ring.ts';
import type { Blob } from '../../bench/rig/content.ts';
import { ORIGIN_PORT } from '../../bench/rig/defaults.ts';
import type { Part } from '../../bench/rig/part.ts';
import { Rig } from '../../bench/rig/rig.ts';
import { FaultyUpstream } from './faulty-upstream.ts';

const AGENTS = 6;
const ORIGINS = 2;
/** With the rate below a pull takes some four seconds: long enough to have a middle, short enough for sixty of them. */
export const BLOB_BYTES = 16 * 2 ** 20;
const RATE_MBIT = 40;
/** So wide that agents which have to read for themselves are not held up by each other. */
const UPSTREAM_MBIT = 200;
const DISK_BYTES = 400 * 2 ** 20;
/**
 * Some twenty blobs: what earlier cells left is evicted on the way, and there is room for those of the last minute and
 * a half, which stay open to peers.
 */
const QUOTA_BYTES = 320 * 2 ** 20;
const PULL_TIMEOUT_MS = 60_000;
const QUEUE_MS = 50;
const BURST_BYTES = 128 * 1024;

const STALLS = fileURLToPath(new URL('stalls.ts', import.meta.url));
const SHARED_MEMORY = '/dev/shm';
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

/**
 * Six agents and two origins, the second half of each in a zone of its own; the tracker and the upstream are in the
 * first. Each store is a small disk, each wall clock can be set by itself.
 */
export class Stage implements AsyncDisposable {
  readonly rig: Rig;
  readonly upstream: FaultyUpstream;

  private constructor(rig: Rig, upstream: FaultyUpstream) {
    this.rig = rig;
    this.upstream = upstream;
  }

  static async set(signal: AbortSignal): Promise<Stage> {
    let upstream: FaultyUpstream | undefined;
    await using stack = new AsyncDisposableStack();
    const rig = stack.use(
      await Rig.build(
        {
          agents: AGENTS,
          origins: ORIGINS,
          zones: 2,
          zoneOf: (agent) => Math.floor((agent * 2) / AGENTS),
          zoneOfOrigin: (origin) => origin,
          trunkMbit: undefined,
          queueMs: QUEUE_MS,
          burstBytes: BURST_BYTES,
          fill: async () => {},
          contentBytes: BLOB_BYTES,
          pullTimeoutMs: PULL_TIMEOUT_MS,
          profiles: undefined,
          nodeFlags: ['--import', STALLS],
          startUpstream: async (...place) => (upstream = await FaultyUpstream.start(...place)),
          diskBytes: DISK_BYTES,
          quotaBytes: QUOTA_BYTES,
          environmentOf: clockOf,
        },
        signal,
      ),
    );
    await rig.shape(({ name }) => {
      const mbit = name === 'upstream' ? UPSTREAM_MBIT : RATE_MBIT;
      return { upMbit: mbit, downMbit: mbit };
    });
    stack.move();
    return new Stage(rig, upstream!);
  }

  get agents(): readonly Part[] {
    return this.rig.agents;
  }

  /** The agents of the second zone. */
  get half(): readonly Part[] {
    return this.agents.slice(AGENTS / 2);
  }

  get parts(): readonly Part[] {
    return [this.rig.tracker, ...this.rig.origins, ...this.agents];
  }

  /** The origin that is asked for a blob first. */
  ownerOf({ digest }: Blob): Part {
    const [first] = owners(digest, this.rig.origins.map(addressOf));
    return this.rig.origins.find((origin) => addressOf(origin) === first)!;
  }

  /** The wall clock of one host: so far off the true time. */
  async setClock({ name }: Part, offset: '+0' | '+1h'): Promise<void> {
    await writeFile(clockFile(this.rig.directory, name), offset);
  }

  keepLogs(directory: string): Promise<void> {
    return this.rig.keepLogs(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
    await sweepClocks();
  }
}

/** libfaketime leaves shared memory and a semaphore behind for each process that was killed. */
async function sweepClocks(): Promise<void> {
  for (const name of await readdir(SHARED_MEMORY)) {
    const owner = /^(?:faketime_shm|sem\.faketime_sem)_(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`))
      await rm(join(SHARED_MEMORY, name), { force: true });
  }
}

function addressOf({ host }: Part): string {
  return `${host.address}:${ORIGIN_PORT}`;
}

function clockFile(directory: string, host: string): string {
  return join(directory, `${host}.clock`);
}

/** libfaketime sets the wall clock only; the file is read again every second. */
function clockOf(host: string, directory: string): Readonly<Record<string, string>> {
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: clockFile(directory, host),
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  };
}
