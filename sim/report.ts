import { lowerBound, ownBound } from './bound.ts';
import type { PullRecord } from './ledger.ts';
import type { World } from './world.ts';

/** What a run showed. Times are virtual seconds, bytes real ones, F is the sum of all blobs' bytes. */
export interface Report {
  readonly scenario: string;
  readonly hosts: number;
  readonly origins: number;
  readonly blobs: number;
  /** How coarse it was: real bytes. */
  readonly pieceBytes: number;
  readonly blockBytes: number;
  /** For blobs by themselves the longest that one takes over an idle link. */
  readonly boundSeconds: number;
  /** From the start of an agent's first pull to the end of its last, or of each pull by itself (`per: blob`). */
  readonly p50Seconds: number;
  readonly p99Seconds: number;
  readonly p999Seconds: number;
  readonly maxSeconds: number;
  /** The slowest over the bound. */
  readonly ratio: number;
  /** Each one's time over its own bound: what its link alone would take. */
  readonly slowdownP50: number;
  readonly slowdownP99: number;
  readonly ttfbP50Seconds: number;
  readonly ttfbMaxSeconds: number;
  readonly finished: number;
  readonly unfinished: number;
  readonly died: number;
  /** On average and in the worst second, all hosts together. */
  readonly announcesPerSecond: number;
  readonly announcesPerSecondMax: number;
  /** When there were most: per host on average, and of the one that had most. */
  readonly connectionsPerHost: number;
  readonly connectionsOfOneMax: number;
  /** Sent to peers, blocks not among them. */
  readonly messagesPerHost: number;
  /** What a host remembers of pieces, peers and requests, on average when that was most. Bytes, at the simulated pieces. */
  readonly stateBytesPerHost: number;
  readonly originUploadOverF: number;
  /** Received twice, over all received. */
  readonly duplicateShare: number;
  /** Bytes that entered a zone over its link, over F: mean and worst zone. */
  readonly zoneOverF: number;
  readonly zoneOverFMax: number;
}

interface Timed {
  readonly seconds: number;
  readonly own: number;
  readonly firstByte: number;
}

export function reportOn(world: World): Report {
  const { scenario, ledger, hosts, origins, agents, tracker, clock } = world;
  const living = ledger.pulls.filter(({ host }) => host.alive);
  const ended = living.filter(({ endedAt }) => endedAt !== undefined);
  const times = scenario.per === 'image' ? perAgent(world, ended) : perPull(world, ended);
  const seconds = times.map((time) => time.seconds);
  const slowdowns = times.map(({ seconds: took, own }) => took / own);
  const firstBytes = times.map(({ firstByte }) => firstByte);
  const bound =
    scenario.per === 'image'
      ? lowerBound(scenario, (blob) => origins.indexOf(world.firstOwnerOf(world.blobs[blob]!)))
      : times.reduce((longest, { own }) => Math.max(longest, own), 0);
  const all = scenario.blobs.reduce((sum, size) => sum + size, 0);
  const real = (bytes: number): number => bytes * scenario.scale;
  const taken = ledger.taken.reduce((sum, bytes) => sum + bytes, 0);
  return {
    scenario: scenario.name,
    hosts: agents.length,
    origins: origins.length,
    blobs: scenario.blobs.length,
    pieceBytes: real(pieceLengthIn(world)),
    blockBytes: real(scenario.blockLength),
    boundSeconds: rounded(bound),
    p50Seconds: rounded(quantile(seconds, 0.5)),
    p99Seconds: rounded(quantile(seconds, 0.99)),
    p999Seconds: rounded(quantile(seconds, 0.999)),
    maxSeconds: rounded(quantile(seconds, 1)),
    ratio: rounded(quantile(seconds, 1) / bound),
    slowdownP50: rounded(quantile(slowdowns, 0.5)),
    slowdownP99: rounded(quantile(slowdowns, 0.99)),
    ttfbP50Seconds: rounded(quantile(firstBytes, 0.5)),
    ttfbMaxSeconds: rounded(quantile(firstBytes, 1)),
    finished: ended.length,
    unfinished: living.length - ended.length,
    died: agents.filter(({ alive }) => !alive).length,
    announcesPerSecond: rounded(total(tracker.requests) / (clock.now / 1_000)),
    announcesPerSecondMax: Math.max(0, ...tracker.requests),
    connectionsPerHost: rounded(ledger.mostConnectionsInAll / hosts.length),
    connectionsOfOneMax: ledger.mostConnections,
    messagesPerHost: Math.round(total(hosts.map(({ messages }) => messages)) / hosts.length),
    stateBytesPerHost: Math.round(ledger.mostStateBytes / hosts.length),
    originUploadOverF: rounded(real(total(origins.map(({ index }) => ledger.sent[index]!))) / all),
    duplicateShare: rounded(ledger.duplicateBytes / taken),
    zoneOverF: rounded(real(total([...ledger.byZone])) / Math.max(1, ledger.byZone.length) / all),
    zoneOverFMax: rounded(real(Math.max(0, ...ledger.byZone)) / all),
  };
}

/** An image: all that an agent pulls. Agents that lack any of it have no time. */
function perAgent(world: World, ended: readonly PullRecord[]): Timed[] {
  const byAgent = Map.groupBy(ended, ({ host }) => host);
  const wanted = Map.groupBy(world.scenario.pulls, ({ agent }) => agent);
  const times: Timed[] = [];
  for (const [host, pulls] of byAgent) {
    const agent = world.agents.indexOf(host);
    if (pulls.length < wanted.get(agent)!.length) continue;
    const startedAt = Math.min(...pulls.map((pull) => pull.startedAt));
    times.push({
      seconds: (Math.max(...pulls.map((pull) => pull.endedAt!)) - startedAt) / 1_000,
      own: ownBound(world.scenario, wanted.get(agent)!),
      firstByte: (Math.min(...pulls.map((pull) => pull.firstByteAt!)) - startedAt) / 1_000,
    });
  }
  return times;
}

function perPull(world: World, ended: readonly PullRecord[]): Timed[] {
  const { scenario, origins } = world;
  return ended.map(({ host, blob, startedAt, firstByteAt, endedAt }) => ({
    seconds: (endedAt! - startedAt) / 1_000,
    own: (blob.size * scenario.scale) / scenario.agents[host.index - origins.length]!.down,
    firstByte: (firstByteAt! - startedAt) / 1_000,
  }));
}

function pieceLengthIn({ agents, blobs, ledger }: World): number {
  const torrent = ledger.pulls[0]?.host.torrents.get(blobs[0]!) ?? agents[0]?.torrents.values().next().value;
  return torrent?.table.pieceLength ?? 0;
}

/** The least value that at least that share of them does not exceed; NaN of none. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
