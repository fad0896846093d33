import { expect, test } from 'vitest';
import { Clock } from '../../../sim/clock.ts';
import { Fluid } from '../../../sim/fluid.ts';

function setUp(grainMs: number): { clock: Clock; fluid: Fluid; link: (rate: number) => number } {
  const clock = new Clock();
  const fluid = new Fluid(clock, grainMs);
  return { clock, fluid, link: (rate) => fluid.shares.addLink(rate) };
}

test('two that share a link take turns at its rate, and the one left has all of it', () => {
  const { clock, fluid, link } = setUp(0);
  const sender = link(10);
  const passed: [string, number][] = [];
  const open = (name: string) =>
    fluid.open([sender, link(100)], { passed: (at) => void passed.push([name, at]) });
  const short = open('short');
  const long = open('long');
  fluid.start(short, 100);
  clock.at(4, () => fluid.start(long, 200));
  clock.run(() => false, Infinity);
  // Alone for 4 ms, then 5 a millisecond each: 60 left of the short take 12; then 140 of the long at 10 take 14.
  expect(passed).toEqual([
    ['short', 16],
    ['long', 30],
  ]);
});

test('what is started when something has passed goes on without a gap, also within a grain', () => {
  for (const grain of [0, 7]) {
    const { clock, fluid, link } = setUp(grain);
    const ends: number[] = [];
    const passed = (at: number): void => {
      ends.push(at);
      if (ends.length < 5) fluid.start(flow, 30);
    };
    const flow = fluid.open([link(10), link(10)], { passed });
    fluid.start(flow, 30);
    clock.run(() => false, Infinity);
    expect(ends.map((at) => Math.round(at * 1e6) / 1e6)).toEqual([3, 6, 9, 12, 15]);
  }
});

test('a flow that is stopped gives its share back and is not heard of again', () => {
  const { clock, fluid, link } = setUp(0);
  const sender = link(10);
  let stoppedPassed = false;
  const ends: number[] = [];
  const stopped = fluid.open([sender, link(10)], { passed: () => void (stoppedPassed = true) });
  const other = fluid.open([sender, link(10)], { passed: (at) => void ends.push(at) });
  fluid.start(stopped, 1_000);
  fluid.start(other, 100);
  clock.at(10, () => fluid.close(stopped));
  clock.run(() => false, Infinity);
  expect(ends).toEqual([15]);
  expect(stoppedPassed).toBe(false);
  expect(fluid.load(sender)).toBe(0);
});
