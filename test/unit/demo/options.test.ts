import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseOptions } from '../../../demo/options.ts';

let told = '';
beforeEach(() => {
  told = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    told += String(text);
    return true;
  });
});
afterEach(() => void vi.restoreAllMocks());

describe("the demo's options", () => {
  test('are six nodes, at least 150 MB and the comparison, unless told otherwise', () => {
    const options = parseOptions([]);
    expect(options).toMatchObject({ nodes: 6, direct: true, json: false });
    expect(options.imageSize).toBeGreaterThanOrEqual(150e6);
  });

  test('are read in the units of the configuration', () => {
    const argv = '--nodes 3 --image-size 20MiB --upstream-rate 5MB/s --no-direct --logs parts.log --json';
    expect(parseOptions(argv.split(' '))).toEqual({
      nodes: 3,
      imageSize: 20 * 2 ** 20,
      upstreamRate: 5e6,
      direct: false,
      logs: 'parts.log',
      json: true,
    });
  });

  test.each([
    [['--nodes', '0'], '1 to 40 is allowed'],
    [['--nodes', '41'], '1 to 40 is allowed'],
    [['--nodes', '2.5'], '1 to 40 is allowed'],
    [['--nodes', '-1'], '1 to 40 is allowed'],
    [['--image-size', '10kB'], '1MB to 4GB is allowed'],
    [['--image-size', 'much'], '1MB to 4GB is allowed'],
    [['--upstream-rate', '20'], '1MB/s to 1GB/s is allowed'],
    [['--upstream-rate', '20TB/s'], '1MB/s to 1GB/s is allowed'],
    [['--speed'], "unknown option '--speed'"],
    [['surplus'], 'too many arguments'],
  ])('%j is refused with what is allowed', (argv, allowed) => {
    expect(() => parseOptions(argv)).toThrow(allowed);
    expect(told).toContain(allowed);
  });
});
