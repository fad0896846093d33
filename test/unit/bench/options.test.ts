import { describe, expect, test } from 'vitest';
import { OptionError, parseOptions, usage } from '../../../bench/options.ts';
import { SCENARIOS } from '../../../bench/scenarios.ts';

const parse = (...args: string[]): ReturnType<typeof parseOptions> => parseOptions(args, SCENARIOS);

describe('the command line of the rig', () => {
  test('has the scenario’s own size where none is asked for', () => {
    const { nodes, rateMbit, sizeMib, direct, json } = parse('flash-crowd');
    expect({ nodes, rateMbit, sizeMib, direct, json }).toEqual({
      nodes: 8,
      rateMbit: 100,
      sizeMib: 256,
      direct: true,
      json: false,
    });
  });

  test('takes numbers, and 0 for links that are not shaped', () => {
    const options = parse(
      'cold',
      '--nodes',
      '3',
      '--rate-mbit=0',
      '--size-mib',
      '7',
      '--no-direct',
      '--json',
    );
    expect(options).toMatchObject({ nodes: 3, rateMbit: undefined, sizeMib: 7, direct: false, json: true });
  });

  test.each([
    ['--nodes', 'x', 'from 1 to 64'],
    ['--nodes', '0', 'from 1 to 64'],
    ['--nodes', '65', 'from 1 to 64'],
    ['--nodes', '1e1', 'from 1 to 64'],
    ['--rate-mbit', '10001', 'from 0 to 10000'],
    ['--size-mib', '0', 'from 1 to 65536'],
    ['--size-mib', '', 'from 1 to 65536'],
    ['--queue-ms', '2.5', 'from 1 to 1000'],
  ])('refuses %s %s and says what is allowed', (name, value, allowed) => {
    const run = (): unknown => parse('flash-crowd', `${name}=${value}`);
    expect(run).toThrow(OptionError);
    expect(run).toThrow(`${name} is "${value}"; allowed is a whole number ${allowed}`);
  });

  test('refuses fewer agents than the scenario needs', () => {
    expect(() => parse('churn', '--nodes', '1')).toThrow('from 2 to 64');
  });

  test('refuses a size where there is none to choose', () => {
    expect(() => parse('small-blobs', '--size-mib', '3')).toThrow('200 × 64 KiB');
  });

  test('refuses unknown scenarios, two of them, none, and unknown options', () => {
    expect(() => parse('flash')).toThrow(/"flash" is no scenario; allowed is one of flash-crowd, cold/);
    expect(() => parse('cold', 'churn')).toThrow('"cold churn" is no scenario');
    expect(() => parse()).toThrow('no scenario was named');
    expect(() => parse('cold', '--fast')).toThrow(OptionError);
  });

  test('names every scenario of the issue in its help', () => {
    const text = usage(SCENARIOS);
    for (const { name, summary } of SCENARIOS) expect(text).toContain(`${name.padEnd(14)}${summary}`);
  });
});
