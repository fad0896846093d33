import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher } from 'undici';
import { fixedMembers } from '#service/discovery/member-list.ts';
import { startOrigin, type RunningOrigin } from '#origin/origin.ts';
import { type Digest, digestOf, parseDigest } from '#registry/digest.ts';
import { OCI_EMPTY, OCI_MANIFEST } from '#registry/media-types.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey, parsePublicKeys, type SigningKey } from '#service/signing.ts';
import { owners } from '#swarm/core/ring.ts';
import type { EngineLimits } from '#swarm/session/engine.ts';
import { type RunningSwarm, startSwarm } from '#swarm/session/start.ts';
import { Whereabouts } from '#swarm/session/whereabouts.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { type RunningTracker, startTracker } from '#tracker/tracker.ts';
import { UpstreamRegistry, type UpstreamOptions } from '../../../demo/upstream-registry.ts';
import { freePort } from '../../../demo/free-port.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

export const MIB = 1024 ** 2;
export const deadline = (ms = 18_000): AbortSignal => AbortSignal.timeout(ms);
const logger = createLogger('test', {
  level: process.env['SHOAL_TEST_LOG'] === undefined ? 'silent' : 'debug',
});

export interface Asked {
  readonly upstream?: string;
  readonly repository?: string;
  readonly authorization?: string;
  readonly accept?: string;
  readonly headers?: Record<string, string>;
}

export interface Told {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Buffer;
}

/** What an origin says of a large blob. */
export interface Descriptor {
  readonly digest: Digest;
  readonly size: number;
  readonly scope: string;
  readonly hasGaps?: boolean;
  readonly peer: { readonly host: string; readonly port: number };
}

/** A tracker, origins in one ring, agents' engines and upstream registries, all over real sockets and files. */
export class OriginFixture implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #client = new Agent();
  readonly #keys: SigningKey[] = [];
  readonly #addresses: string[] = [];
  readonly #directories: string[] = [];
  readonly #origins: (RunningOrigin | undefined)[] = [];
  readonly #hosts: Record<string, { plainHttp: true }> = {};
  readonly #settings: Record<string, unknown>;
  readonly #quota: string;
  readonly upstream: UpstreamRegistry;
  /** How far the origins' clock is ahead of the true one, in milliseconds. */
  ahead = 0;
  #tracker: RunningTracker | undefined;

  private constructor(upstream: UpstreamRegistry, settings: Record<string, unknown>, quota: string) {
    this.upstream = this.#stack.use(upstream);
    this.#settings = settings;
    this.#quota = quota;
    this.#stack.defer(() => this.#client.destroy());
  }

  /** @param options.settings knobs of every origin, as in its file */
  static async start(
    options: {
      origins?: number;
      upstream?: UpstreamOptions;
      others?: readonly UpstreamRegistry[];
      settings?: Record<string, unknown>;
      quota?: string;
      /** Peer wires on ports that are fixed, as security wants them. */
      peerPorts?: boolean;
    } = {},
  ): Promise<OriginFixture> {
    const upstream = await UpstreamRegistry.start(options.upstream ?? {});
    const peer = options.peerPorts === true ? { peer: { listen: `127.0.0.1:${await freePort()}` } } : {};
    const fixture = new OriginFixture(upstream, { ...peer, ...options.settings }, options.quota ?? '1GiB');
    const config = loadConfig('tracker', {
      flags: { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' },
    });
    fixture.#tracker = fixture.#stack.use(
      await startTracker(config, { ...parts(), metrics: metrics('tracker') }),
    );
    for (const { host, realmUrl } of [upstream, ...(options.others ?? [])])
      for (const name of [host, new URL(realmUrl).host]) fixture.#hosts[name] = { plainHttp: true };
    for (let index = 0; index < (options.origins ?? 2); index++) {
      fixture.#keys.push(generateSigningKey());
      fixture.#addresses.push(`127.0.0.1:${await freePort()}`);
      fixture.#directories.push(fixture.#stack.use(await temporaryDirectory('origin')).path);
    }
    for (const index of fixture.#addresses.keys()) await fixture.startOrigin(index);
    fixture.#stack.defer(async () => {
      for (const index of fixture.#addresses.keys()) await fixture.stopOrigin(index);
    });
    return fixture;
  }

  /** On what an earlier run has left. */
  async startOrigin(index: number): Promise<void> {
    const directory = this.#directories[index]!;
    const keyFile = join(directory, 'signing.pem');
    await writeFile(keyFile, this.#keys[index]!.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const file = join(directory, 'origin.yaml');
    const settings = {
      security: 'off',
      listen: this.#addresses[index],
      advertise: this.#addresses[index],
      status: { listen: '127.0.0.1:0' },
      peer: { listen: '127.0.0.1:0' },
      origins: this.#addresses,
      trackers: [this.#tracker!.address],
      signingKeyFile: keyFile,
      trustedOriginKeys: this.#publicKeys,
      upstreams: { hosts: this.#hosts },
      selfTest: false,
      ...this.#settings,
      store: { path: directory, quota: this.#quota },
    };
    await writeFile(file, JSON.stringify(settings));
    const config = loadConfig('origin', { file });
    this.#origins[index] = await startOrigin(config, {
      ...parts(),
      metrics: metrics('origin'),
      env: {},
      now: () => performance.now() + this.ahead,
    });
  }

  async stopOrigin(index: number): Promise<void> {
    const origin = this.#origins[index];
    this.#origins[index] = undefined;
    await origin?.[Symbol.asyncDispose]();
  }

  origin(index: number): RunningOrigin {
    return this.#origins[index]!;
  }

  directory(index: number): string {
    return this.#directories[index]!;
  }

  /** Indices of the origins in the ring's order for a key. */
  order(key: string): number[] {
    return owners(key, this.#addresses).map((address) => this.#addresses.indexOf(address));
  }

  async get(index: number, path: string, headers: Record<string, string> = {}): Promise<Told> {
    const {
      statusCode,
      headers: told,
      body,
    } = await this.#client.request({
      origin: `http://${this.#addresses[index]}`,
      path,
      method: 'GET',
      headers,
      signal: deadline(),
    });
    return { status: statusCode, headers: told, body: Buffer.from(await body.arrayBuffer()) };
  }

  /** As an agent asks. `what` is such as `blobs/<digest>`. */
  ask(index: number, what: string, asked: Asked = {}): Promise<Told> {
    const { upstream = this.upstream.host, repository = 'team/app', authorization, accept, headers } = asked;
    return this.get(index, `/v2/${repository}/${what}?ns=${encodeURIComponent(upstream)}`, {
      ...(authorization !== undefined && { 'shoal-authorization': authorization }),
      ...(accept !== undefined && { accept }),
      ...headers,
    });
  }

  /** Asks for a large blob until there is a descriptor. */
  async describe(index: number, digest: string, asked: Asked = {}): Promise<Descriptor> {
    const told = await this.ask(index, `blobs/${digest}`, asked);
    if (told.status !== 200) throw new Error(`${told.status}: ${told.body.toString('utf8')}`);
    const descriptor: Descriptor = JSON.parse(told.body.toString('utf8'));
    return descriptor;
  }

  /** An agent's place in the swarm. */
  async member(limits: EngineLimits = {}): Promise<RunningSwarm & { readonly store: BlobStore }> {
    const stack = new AsyncDisposableStack();
    const { path } = this.#stack.use(await temporaryDirectory('agent'));
    let swarm: RunningSwarm | undefined;
    const store = stack.use(
      await BlobStore.open(
        { directory: path, quotaBytes: 1024 * MIB },
        { logger, now: Date.now, onEvict: (digest) => swarm?.engine.evicted(digest) },
      ),
    );
    const dispatcher = new Agent();
    stack.defer(() => dispatcher.destroy());
    swarm = stack.use(
      await startSwarm(
        {
          store,
          dispatcher,
          logger,
          trusted: parsePublicKeys(this.#publicKeys),
          count: {
            verified: () => undefined,
            failed: () => undefined,
            sent: () => undefined,
            received: () => undefined,
          },
          now: () => performance.now(),
          random: Math.random,
        },
        {
          role: 'agent',
          topology: {},
          whereabouts: new Whereabouts({}),
          listen: { host: '127.0.0.1', port: 0 },
          trackers: fixedMembers([this.#tracker!.address]),
          identity: {},
          admitStrangers: false,
          limits,
          peers: { maxPeersPerSwarm: 40, maxConnections: 512 },
        },
      ),
    );
    const member = { ...swarm, store, [Symbol.asyncDispose]: () => stack.disposeAsync() };
    this.#stack.use(member);
    return member;
  }

  /** The torrent that a descriptor names, with its origin as a peer. */
  async join(swarm: RunningSwarm, { digest, scope, size, peer }: Descriptor): Promise<Torrent> {
    const torrent = await swarm.engine.torrent({ digest, scope, size });
    torrent.addPeer({ ...peer, role: 'origin' });
    return torrent;
  }

  /** Body bytes of a blob that left an upstream. */
  upstreamBytes(digest: string, upstream: UpstreamRegistry = this.upstream): number {
    return upstream.log.bodyBytesByDigest().get(digest) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** What an agent's configuration names. */
  get members(): { trackers: string[]; origins: string[]; trustedOriginKeys: string[] } {
    return {
      trackers: [this.#tracker!.address],
      origins: this.#addresses,
      trustedOriginKeys: this.#publicKeys,
    };
  }

  get #publicKeys(): string[] {
    return this.#keys.map(({ publicKey }) => publicKey.toString('base64'));
  }
}

export async function readDigest(torrent: Torrent, signal: AbortSignal = deadline()): Promise<Digest> {
  const chunks: Buffer[] = [];
  for await (const chunk of torrent.read(0, torrent.size, signal)) chunks.push(Buffer.from(chunk));
  return digestOf(Buffer.concat(chunks));
}

/** An image without config and layers; equal names make equal manifests. */
export function manifest(name: string): object {
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_EMPTY, digest: `sha256:${'0'.repeat(64)}`, size: 2 },
    layers: [],
    annotations: { name },
  };
}

/** Puts a blob into a repository. */
export function addBlob(upstream: UpstreamRegistry, bytes: Buffer, repository = 'team/app'): Digest {
  return parseDigest(upstream.content.addBlob(repository, bytes));
}

/** Waits until `look` gives something. */
async function eventually<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let round = 0; round < 400; round++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(25);
  }
  throw new Error(`not in time: ${what}`);
}

export function until(what: string, look: () => boolean | Promise<boolean>): Promise<true> {
  return eventually(what, async () => ((await look()) ? true : undefined));
}

function parts(): { signal: AbortSignal; logger: typeof logger } {
  return { signal: new AbortController().signal, logger };
}

function metrics(part: string): ReturnType<typeof createMetrics> {
  return createMetrics(part, { process: false });
}
