import { describe, expect, it } from 'vitest';
import { SwarmSimulation } from './swarm-simulation.ts';

const MIB = 1024 ** 2;
const PIECES = 64;
const SIZE = PIECES * 256 * 1024;
const quick = { upload: 50 * MIB };
const SEEDS = [1, 2, 3, 4, 5];

function finished(swarm: SwarmSimulation): boolean[] {
  return swarm.peers.map(({ finishedAt }) => finishedAt !== undefined);
}

describe('a simulated swarm of a source and twelve peers', () => {
  it.each(SEEDS)(
    'has the whole blob everywhere while the source sends each piece about once (seed %i)',
    (seed) => {
      const swarm = new SwarmSimulation(SIZE, {
        source: quick,
        peers: Array.from({ length: 12 }, () => quick),
        seed,
      });
      swarm.run(60_000);
      expect(finished(swarm)).toEqual(swarm.peers.map(() => true));
      expect(swarm.copiesFromSource).toBeLessThan(1.1);
    },
  );

  it.each(SEEDS)(
    'takes little longer than the source needs for one copy, though its link is slow (seed %i)',
    (seed) => {
      const peers = Array.from({ length: 12 }, () => quick);
      const swarm = new SwarmSimulation(SIZE, { source: { upload: 8 * MIB }, peers, seed });
      swarm.run(60_000);
      const oneCopyMs = (SIZE / (8 * MIB)) * 1_000;
      expect(Math.max(...swarm.peers.map(({ finishedAt }) => finishedAt ?? Infinity))).toBeLessThan(
        1.3 * oneCopyMs,
      );
      expect(swarm.copiesFromSource).toBeLessThan(1.1);
    },
  );

  it('is not held up by peers that hardly upload', () => {
    const peers = Array.from({ length: 12 }, (_, at) => (at < 3 ? { upload: MIB / 4 } : quick));
    const swarm = new SwarmSimulation(SIZE, { source: quick, peers, seed: 7 });
    swarm.run(60_000);
    expect(finished(swarm)).toEqual(peers.map(() => true));
    expect(swarm.copiesFromSource).toBeLessThan(2);
  });

  it('gets again what those alone had who left', () => {
    const peers = Array.from({ length: 12 }, () => quick);
    const swarm = new SwarmSimulation(SIZE, { source: { upload: 8 * MIB }, peers, seed: 8 });
    swarm.run(600);
    for (const gone of swarm.peers.slice(0, 4)) swarm.leave(gone);
    swarm.run(60_000);
    expect(swarm.peers).toHaveLength(8);
    expect(finished(swarm)).toEqual(swarm.peers.map(() => true));
    expect(swarm.copiesFromSource).toBeLessThan(2);
  });
});
