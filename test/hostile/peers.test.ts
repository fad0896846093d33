import { afterAll, expect, test } from 'vitest';
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
const UNDISTURBED = 'nobody is hostile';

const seconds: [name: string, took: number][] = [];
afterAll(() => {
  // The first one pays for what is compiled while it runs.
  const alone = seconds.filter(([name]) => name === UNDISTURBED).slice(1);
  const undisturbed = alone.reduce((sum, [, took]) => sum + took, 0) / alone.length;
  const lines = seconds.map(
    ([name, took]) => `${name.padEnd(40)} ${took.toFixed(2)} s  ${(took / undisturbed).toFixed(2)} ×`,
  );
  const what = `${HONEST} agents pull 12 MiB from one origin of ${ORIGIN_UPLOAD / 1e6} MB/s; ${HOSTILE} more peers of each are hostile`;
  console.log(`\n${what}\n${lines.join('\n')}\n`);
});

/** All agents pull at once; how many of the hostile connections are cut by the end. */
async function pullAmong(name: string, kind?: HostileKind): Promise<{ digests: string[]; cut: number }> {
  await using stack = new AsyncDisposableStack();
  const fixture = stack.use(await SwarmFixture.start());
  const otherBatch = fixture.sign(digestOf(other), SCOPE, SIZE, 0, [pieceOf(other, 0)]);
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
  seconds.push([name, (performance.now() - started) / 1000]);
  if (kind?.cut === true) await Promise.all(attackers.map((attacker) => attacker.closed));
  return { digests, cut: attackers.filter(({ isClosed }) => isClosed).length };
}

const ALL = Array<string>(HONEST).fill(digest);

test.each([1, 2, 3])('nobody is hostile, %i', async () => {
  expect(await pullAmong(UNDISTURBED)).toEqual({ digests: ALL, cut: 0 });
});

test.each(HOSTILE_KINDS)('a quarter of the peers $name: every agent gets every byte', async (kind) => {
  const { digests, cut } = await pullAmong(kind.name, kind);
  expect(digests).toEqual(ALL);
  expect(kind.cut ? cut : HONEST * HOSTILE).toBe(HONEST * HOSTILE);
});
