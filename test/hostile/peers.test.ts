import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { pieceCount } from '#swarm/core/piece-length.ts';
import { deterministicBytes } from '../support/bytes.ts';
import { pieceOf, readAll, SwarmFixture } from '../unit/session/swarm-fixture.ts';
import { attack, HOSTILE_KINDS, type HostileKind, type Target } from './hostile-peer.ts';

const HONEST = 6;
/** With these a quarter of the peers are hostile. */
const HOSTILE = 2;
const SIZE = 12 * 1024 * 1024 + 77;
const SCOPE = 'registry.example';
const blob = deterministicBytes('hostile swarm', SIZE);
const other = deterministicBytes('another blob', SIZE);
const digest = digestOf(blob);
const request = { digest, scope: SCOPE, size: SIZE };
const pieces = pieceCount(SIZE);

/** So that a pull takes as long as the origin's link and not the machine. Bytes per second. */
const ORIGIN_UPLOAD = 12e6;
/** Pulls among hostile peers and, in turn with them, without: what the machine does meanwhile slows both. */
const PAIRS = pairsOf(process.env['SHOAL_HOSTILE_PAIRS'] ?? '5');

function pairsOf(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new RangeError(`SHOAL_HOSTILE_PAIRS is "${text}": 1 to 9999 are allowed`);
}

interface Pair {
  /** Seconds until the last agent had all. */
  readonly undisturbed: number;
  readonly disturbed: number;
}

const measured: [name: string, pairs: readonly Pair[]][] = [];
afterAll(() => {
  const lines = measured.map(([name, pairs]) => {
    const ratio = median(pairs.map(({ disturbed, undisturbed }) => disturbed / undisturbed));
    const seconds = median(pairs.map(({ disturbed }) => disturbed));
    return `${name.padEnd(40)} ${seconds.toFixed(2)} s  ${(ratio * 100 - 100).toFixed(0).padStart(4)} %`;
  });
  const all = measured.flatMap(([, pairs]) => pairs.map((pair) => pair.disturbed / pair.undisturbed));
  const what = `${HONEST} agents pull 12 MiB from one origin of ${ORIGIN_UPLOAD / 1e6} MB/s; ${HOSTILE} more peers of each are hostile`;
  const how = `slower than the same pull without them, medians of ${PAIRS} pairs`;
  console.log(
    `\n${what}: ${how}\n${lines.join('\n')}\nall kinds: ${(median(all) * 100 - 100).toFixed(1)} %\n`,
  );
});

function median(values: readonly number[]): number {
  const sorted = values.toSorted((low, high) => low - high);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

interface Outcome {
  readonly digests: readonly string[];
  /** Hostile connections that were cut by the end. */
  readonly cut: number;
  readonly seconds: number;
}

/** All agents pull at once. */
async function pullAmong(kind?: HostileKind): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const fixture = stack.use(await SwarmFixture.start());
  const otherBatch = fixture.sign(digestOf(other), SCOPE, SIZE, [pieceOf(other, 0)]);
  const target: Target = { ...request, pieces, otherBatch };
  const origin = await fixture.member('origin', { limits: { uploadBytesPerSecond: ORIGIN_UPLOAD } });
  fixture.feed(await origin.swarm.engine.torrent(request), blob);
  const agents = await Promise.all(
    Array.from({ length: HONEST }, async () => {
      const { swarm } = await fixture.member('agent');
      return { port: swarm.port, torrent: await swarm.engine.torrent(request) };
    }),
  );
  const attackers = await Promise.all(
    agents.flatMap(({ port, torrent: { swarmId } }) =>
      Array.from({ length: kind === undefined ? 0 : HOSTILE }, (_, at) =>
        attack(kind!, target, { port, swarmId, from: `127.66.0.${at + 2}` }, stack),
      ),
    ),
  );
  const started = performance.now();
  for (const { torrent } of agents)
    torrent.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
  const digests = await Promise.all(
    agents.map(({ torrent }) => readAll(torrent, AbortSignal.timeout(60_000))),
  );
  const seconds = (performance.now() - started) / 1000;
  if (kind?.cut === true) await Promise.all(attackers.map((attacker) => attacker.closed));
  return { digests, cut: attackers.filter(({ isClosed }) => isClosed).length, seconds };
}

const ALL = Array<string>(HONEST).fill(digest);

// Whoever is first pays for what is compiled while it runs.
beforeAll(async () => void (await pullAmong()));

test.each(HOSTILE_KINDS)('a quarter of the peers $name: every agent gets every byte', async (kind) => {
  const pairs: Pair[] = [];
  while (pairs.length < PAIRS) {
    const undisturbed = await pullAmong();
    const disturbed = await pullAmong(kind);
    expect([undisturbed.digests, disturbed.digests]).toEqual([ALL, ALL]);
    expect(kind.cut ? disturbed.cut : HONEST * HOSTILE).toBe(HONEST * HOSTILE);
    pairs.push({ undisturbed: undisturbed.seconds, disturbed: disturbed.seconds });
  }
  measured.push([kind.name, pairs]);
});
