import { describe, expect, test } from 'vitest';
import { reportOn, type Report } from '../../../sim/report.ts';
import { type Scenario, WIRE_OVERHEAD } from '../../../sim/scenario.ts';
import { SCENARIOS } from '../../../sim/scenarios.ts';
import { simulate } from '../../../sim/simulate.ts';
import { World } from '../../../sim/world.ts';

const MIB = 1024 * 1024;

/** Over links that delay nothing to speak of. */
function flashCrowd(nodes: number, bytes: number): Scenario {
  const scenario = SCENARIOS['flash-crowd']!({ nodes, bytes, rateMbit: 80, seed: 1 });
  return { ...scenario, rttMs: { near: 0.5, far: 0.5 } };
}

function headline(nodes: number, seed: number): Report {
  return simulate('kraken-headline', { nodes, bytes: 60e6, seed })!;
}

function sum(bytes: Float64Array): number {
  return bytes.reduce((a, b) => a + b, 0);
}

describe('a swarm in virtual time', () => {
  test('one agent and one origin take exactly what can be added up by hand', () => {
    const scenario = flashCrowd(1, MIB / 2);
    const world = new World(scenario, 1);
    world.run();
    const [pull] = world.ledger.pulls;
    // The question to the origin takes 3 round trips, the connection 4 and 2 ms of work; then interest, news of the
    // two pieces, requests, and the last byte's way: 4 times half of one.
    const { near } = scenario.rttMs;
    const setUp = 3 * near + (4 * near + 2) + 2 * near;
    const transfer = (MIB / 2 / 10_000) * WIRE_OVERHEAD;
    expect(pull!.endedAt! - pull!.startedAt).toBeCloseTo(setUp + transfer, 6);
  });

  test('the same seed gives the same run, another seed another', () => {
    const first = headline(30, 1);
    expect(headline(30, 1)).toEqual(first);
    expect(headline(30, 2)).not.toEqual(first);
  });

  test('what is received is what was sent: the blob once for each, and what came twice', () => {
    const world = new World(flashCrowd(12, 24 * MIB), 1);
    world.run();
    const { sent, taken, duplicateBytes } = world.ledger;
    expect(sum(sent)).toBe(sum(taken));
    expect(sum(taken) - duplicateBytes).toBe(12 * 24 * MIB);
    for (const agent of world.agents) {
      expect(taken[agent.index]).toBeGreaterThanOrEqual(24 * MIB);
      for (const torrent of agent.torrents.values()) expect(torrent.table.complete).toBe(true);
    }
  });

  test('no link ever carries more than it can', () => {
    const world = new World(SCENARIOS['zones']!({ nodes: 40, bytes: 100e6, seed: 1 }), 1);
    let busiest = 0;
    const look = (): void => {
      for (let link = 0; link < world.fluid.shares.links; link++) {
        const part = world.fluid.load(link) / world.fluid.shares.capacity(link);
        expect(part).toBeLessThan(1 + 1e-6);
        busiest = Math.max(busiest, part);
      }
      world.clock.after(97, look);
    };
    world.clock.after(97, look);
    world.run();
    expect(busiest).toBeGreaterThan(0.99);
    for (const agent of world.agents) {
      const { down } = world.scenario.agents[0]!;
      const most = (down / world.scenario.scale) * (world.clock.now / 1_000);
      expect(world.ledger.taken[agent.index]).toBeLessThanOrEqual(most);
    }
  });

  test('an agent that is gone gets nothing more and holds nobody up', () => {
    const scenario = flashCrowd(10, 24 * MIB);
    const world = new World({ ...scenario, failures: [{ kind: 'agent-dies', at: 1, agent: 3 }] }, 1);
    let then = 0;
    world.clock.at(1_001, () => (then = world.ledger.taken[world.agents[3]!.index]!));
    world.run();
    expect(world.ledger.taken[world.agents[3]!.index]).toBe(then);
    expect(then).toBeGreaterThan(0);
    expect(reportOn(world)).toMatchObject({ finished: 9, unfinished: 0, died: 1 });
  });

  test("when a blob's owner is killed midway the ring's next reads it from upstream and all finish", () => {
    const scenario = SCENARIOS['kraken-headline']!({ nodes: 20, bytes: 300e6, seed: 1 });
    const whole = new World(scenario, 1);
    whole.run();
    const world = new World({ ...scenario, failures: [{ kind: 'owner-killed', at: 0.4, blob: 0 }] }, 1);
    const [first] = world.blobs;
    const owner = world.ownerOf(first!)!;
    world.run();
    expect(owner.alive).toBe(false);
    expect(world.ownerOf(first!)!.torrents.get(first!)?.table.complete).toBe(true);
    expect(reportOn(world)).toMatchObject({ unfinished: 0, died: 0 });
    expect(reportOn(world).maxSeconds).toBeGreaterThan(reportOn(whole).maxSeconds);
  });

  test('while the tracker is away it names nobody, and those who came meanwhile find each other after', () => {
    const scenario = flashCrowd(6, 8 * MIB);
    const away = new World(
      // With two connections each, three could find only each other.
      { ...scenario, maxPeers: 3, failures: [{ kind: 'tracker-away', at: 0, seconds: 20 }] },
      1,
    );
    away.run();
    const report = reportOn(away);
    expect(report.unfinished).toBe(0);
    expect(report.maxSeconds).toBeGreaterThan(20);
  });
});

describe('every scenario finishes', () => {
  const small = { seed: 1, nodes: 30, bytes: 40e6 };
  test.each(Object.keys(SCENARIOS))('%s', { timeout: 60_000 }, (name) => {
    const report = simulate(name, { ...small, ...(name === 'many-blobs' && { nodes: 13 }) })!;
    expect(report.unfinished).toBe(0);
    expect(report.finished).toBeGreaterThan(0);
    expect(report.ratio).toBeGreaterThanOrEqual(1);
    expect(report.connectionsOfOneMax).toBeLessThanOrEqual(512);
  });

  test(
    "a host's messages, memory and connections do not grow with the number of hosts",
    { timeout: 60_000 },
    () => {
      const few = headline(90, 1);
      const many = headline(270, 1);
      expect(many.messagesPerHost).toBeLessThan(few.messagesPerHost * 1.2);
      expect(many.stateBytesPerHost).toBeLessThan(few.stateBytesPerHost * 1.2);
      expect(many.connectionsOfOneMax).toBeLessThanOrEqual(2 * 24);
    },
  );
});
