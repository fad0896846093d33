import { describe, expect, test } from 'vitest';
import type { DemoResult } from '../../../demo/result-table.ts';
import { findFaults } from '../../../demo/verdict.ts';

const node = {
  name: 'agent-1',
  seconds: 8,
  firstByteSeconds: 0.1,
  verified: true,
  sources: { cache: 0, peer: 100, origin: 0, upstream: 0 },
};
const good: DemoResult = {
  imageBytes: 100,
  bytesPerSecond: 10,
  upstreamBytes: 100,
  maxCrossings: 1.01,
  nodes: [node, { ...node, name: 'agent-2' }],
  direct: [],
};

describe('the demo', () => {
  test('is as promised when all nodes got the image and nothing crossed twice', () => {
    expect(findFaults({ result: good, failures: [] })).toEqual([]);
  });

  test('is not when a node has not got the image', () => {
    const result = { ...good, nodes: [node, { ...node, verified: false }] };
    expect(findFaults({ result, failures: ['agent-2: cut'] })).toEqual([
      'agent-2: cut',
      '1 of 2 nodes have not got the image as its sha256 digests say',
    ]);
  });

  test('is not when a direct pull failed, or when nobody pulled', () => {
    expect(findFaults({ result: good, failures: ['node-1: cut'] })).toEqual(['node-1: cut']);
    expect(findFaults({ result: { ...good, nodes: [] }, failures: [] })).toEqual(['no node pulled']);
  });

  test('is not when a blob crossed more than once', () => {
    expect(findFaults({ result: { ...good, maxCrossings: 1.02 }, failures: [] })).toEqual([
      'a blob crossed the link 1.020 times; 1.01 is allowed',
    ]);
  });
});
