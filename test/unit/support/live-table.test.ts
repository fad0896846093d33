import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { renderLive, renderPlain, type LiveModel, type NodeProgress } from '../../../demo/live-table.ts';
import { LiveWriter, type Screen } from '../../../demo/live-writer.ts';
import { renderResult, renderTable, summarize, type DemoResult } from '../../../demo/result-table.ts';
import { formatBytes, formatPercent, formatSeconds, quantile } from '../../../demo/units.ts';

const MB = 1_000_000;

function node(name: string, peer: number, origin: number, more: Partial<NodeProgress> = {}): NodeProgress {
  const sources = { cache: 0, peer, origin, upstream: 0 };
  return { name, bytes: peer + origin, sources, state: 'pulling', seconds: 2, ...more };
}

function model(nodes: NodeProgress[]): LiveModel {
  return { title: 'Six nodes', imageBytes: 100 * MB, upstreamBytes: 40 * MB, seconds: 2, nodes };
}

function screen(isTTY: boolean): Screen & { written: string[] } {
  const written: string[] = [];
  return { isTTY, columns: 80, rows: 24, written, write: (text) => written.push(text) };
}

describe('live progress', () => {
  test('shows for each node how much it has, from where and how fast', () => {
    const lines = renderLive(
      model([
        node('agent-1', 30 * MB, 20 * MB),
        node('agent-2', 75 * MB, 25 * MB, { state: 'done', seconds: 4.25 }),
        node('agent-3', 0, 0, { state: 'waiting', seconds: 0 }),
      ]),
      { columns: 85, rows: 24 },
    );
    expect(lines).toEqual([
      'Six nodes  2.0 s  upstream sent 40.0 MB (0.40 × the image)',
      `agent-1 ▏${'█'.repeat(12)}${'▒'.repeat(8)}${' '.repeat(20)}▕  50 %  50.0 MB 25.0 MB/s`,
      `agent-2 ▏${'█'.repeat(30)}${'▒'.repeat(10)}▕ 100 % 100.0 MB done in 4.3 s`,
      `agent-3 ▏${' '.repeat(40)}▕   0 %      0 B waiting`,
      '· cache   █ peer   ▒ origin   ░ upstream',
    ]);
  });

  test('keeps within the terminal, however small it is and whatever the numbers are', () => {
    const anyNode = fc.record({
      name: fc.string({ maxLength: 30 }),
      bytes: fc.nat(),
      sources: fc.record({ cache: fc.nat(), peer: fc.nat(), origin: fc.nat(), upstream: fc.nat() }),
      state: fc.constantFrom('waiting', 'pulling', 'done', 'failed'),
      seconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
    });
    const size = fc.record({
      columns: fc.integer({ min: 1, max: 200 }),
      rows: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(anyNode, { maxLength: 80 }), fc.nat(), size, (nodes, imageBytes, terminal) => {
        const lines = renderLive({ ...model(nodes), imageBytes }, terminal);
        expect(lines.length).toBeLessThan(Math.max(5, terminal.rows));
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(
          Math.max(1, terminal.columns - 1),
        );
      }),
    );
  });

  test('says how many nodes there was no room for', () => {
    const nodes = Array.from({ length: 30 }, (_, index) => node(`agent-${index}`, 1, 1));
    const lines = renderLive(model(nodes), { columns: 80, rows: 10 });
    expect(lines).toHaveLength(8);
    expect(lines.at(-2)).toBe('… and 25 more');
  });

  test('is one line for a log, failures named', () => {
    const nodes = [
      node('a', 75 * MB, 25 * MB, { state: 'done' }),
      node('b', 25 * MB, 25 * MB),
      node('c', 0, 0, { state: 'failed' }),
    ];
    expect(renderPlain(model(nodes))).toBe(
      'Six nodes: 2.0 s, 50 % delivered, 1 of 3 nodes done, 1 failed, 66 % from peers, upstream sent 40.0 MB (0.40 × the image)',
    );
  });
});

describe('the writer', () => {
  test('draws over its last picture on a terminal, ten times a second at most', () => {
    const terminal = screen(true);
    let now = 0;
    const writer = new LiveWriter(terminal, () => now);
    const picture = model([node('agent-1', 1, 1), node('agent-2', 1, 1)]);
    for (; now < 1000; now += 10) writer.update(picture);
    expect(terminal.written).toHaveLength(10);
    expect(terminal.written[0]).not.toContain('\x1b');
    expect(terminal.written[1]!.startsWith('\x1b[4A\x1b[0J')).toBe(true);
    expect(terminal.written[1]!.split('\n')).toHaveLength(5);
  });

  test('leaves its last picture standing, and starts anew below it', () => {
    const terminal = screen(true);
    const writer = new LiveWriter(terminal, () => 0);
    writer.update(model([node('a', 1, 1)]));
    writer.finish(model([node('a', 100 * MB, 0, { state: 'done' })]));
    writer.update(model([node('a', 1, 1)]));
    expect(terminal.written[1]).toContain('100 %');
    expect(terminal.written[2]).not.toContain('\x1b');
  });

  test('draws on a terminal that does not know its size', () => {
    const terminal = { ...screen(true), columns: 0, rows: 0 };
    new LiveWriter(terminal, () => 0).finish(model([node('a', 100 * MB, 0, { state: 'done' })]));
    expect(terminal.written[0]).toContain('100 %');
  });

  test('writes plain lines elsewhere, one in three seconds and one at the end', () => {
    const log = screen(false);
    let now = 0;
    const writer = new LiveWriter(log, () => now);
    const picture = model([node('a', 1, 1)]);
    for (; now < 9000; now += 100) writer.update(picture);
    writer.finish(picture);
    expect(log.written).toHaveLength(4);
    expect(log.written.every((line) => /^[^\n]+\n$/.test(line) && !line.includes('\x1b'))).toBe(true);
  });
});

describe('the result', () => {
  const result: DemoResult = {
    imageBytes: 150 * MB,
    bytesPerSecond: 20 * MB,
    upstreamBytes: 150.3 * MB,
    nodes: [
      {
        name: 'agent-1',
        seconds: 8,
        firstByteSeconds: 0.1,
        verified: true,
        sources: { cache: 0, peer: 120 * MB, origin: 30 * MB, upstream: 0 },
      },
      {
        name: 'agent-2',
        seconds: 9,
        firstByteSeconds: 0.25,
        verified: true,
        sources: { cache: 0, peer: 130 * MB, origin: 20 * MB, upstream: 0 },
      },
      {
        name: 'agent-3',
        seconds: 8.5,
        firstByteSeconds: 0.2,
        verified: true,
        sources: { cache: 1 * MB, peer: 147 * MB, origin: 0, upstream: 2 * MB },
      },
    ],
    maxCrossings: 1.0021,
    direct: [
      { seconds: 22, firstByteSeconds: 0.3 },
      { seconds: 22.5, firstByteSeconds: 0.2 },
      { seconds: 22.4, firstByteSeconds: 0.25 },
    ],
  };

  test('in numbers is what the nodes reported', () => {
    expect(summarize(result)).toEqual({
      nodes: 3,
      imageBytes: 150 * MB,
      upstreamBytes: 150.3 * MB,
      maxCrossings: 1.002,
      cacheBytes: MB,
      peerBytes: 397 * MB,
      originBytes: 50 * MB,
      fallbackBytes: 2 * MB,
      verified: true,
      p50Seconds: 8.5,
      maxSeconds: 9,
      directMaxSeconds: 22.5,
      linkSeconds: 7.5,
      ttfbSeconds: 0.25,
      directTtfbSeconds: 0.3,
    });
  });

  test('is not verified if one node is not, or if there is none', () => {
    const [first, ...others] = result.nodes;
    expect(summarize({ ...result, nodes: [{ ...first!, verified: false }, ...others] }).verified).toBe(false);
    expect(summarize({ ...result, nodes: [] }).verified).toBe(false);
  });

  test('as a table has a row per node and the comparison below', () => {
    expect(renderResult(result).split('\n')).toEqual([
      'node      time  first byte   cache      peer   origin  upstream    sha256',
      '───────  ─────  ──────────  ──────  ────────  ───────  ────────  ────────',
      'agent-1  8.0 s      100 ms     0 B  120.0 MB  30.0 MB       0 B  verified',
      'agent-2  9.0 s      250 ms     0 B  130.0 MB  20.0 MB       0 B  verified',
      'agent-3  8.5 s      200 ms  1.0 MB  147.0 MB      0 B    2.0 MB  verified',
      '',
      'image              150.0 MB, pulled by 3 nodes at once',
      'upstream sent      150.3 MB = 1.002 × the image',
      'from peers         88 % of all bytes delivered',
      'through Shoal      slowest 9.0 s, median 8.5 s, first byte after 250 ms',
      'straight from it   slowest 22.5 s (2.5 × as long), first byte after 300 ms',
      "the link's bound   7.5 s for one image at 20.0 MB/s",
    ]);
  });

  test('a table lines its columns up', () => {
    expect(
      renderTable([
        ['a', 'b'],
        ['long', '1'],
      ]),
    ).toEqual(['a     b', '────  ─', 'long  1']);
  });
});

test.each([
  [formatBytes(0), '0 B'],
  [formatBytes(999), '999 B'],
  [formatBytes(1000), '1.0 kB'],
  [formatBytes(999_960), '1.0 MB'],
  [formatBytes(152_340_000), '152.3 MB'],
  [formatSeconds(0.0421), '42 ms'],
  [formatSeconds(12.34), '12.3 s'],
  [formatSeconds(Number.NaN), '–'],
  [formatPercent(999, 1000), '99 %'],
  [formatPercent(1000, 1000), '100 %'],
  [formatPercent(1, 0), '0 %'],
  [quantile([3, 1, 2, 4], 0.5), 2],
  [quantile([3, 1, 2, 4], 1), 4],
])('%s is written %s', (written, expected) => {
  expect(written).toBe(expected);
});
