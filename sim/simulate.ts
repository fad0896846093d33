import { reportOn, type Report } from './report.ts';
import { SCENARIOS, type ScenarioOptions } from './scenarios.ts';
import { World } from './world.ts';

/** Runs a scenario to its end. Undefined if there is none of that name. */
export function simulate(name: string, options: ScenarioOptions): Report | undefined {
  const make = Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
  if (!make) return undefined;
  const made = make(options);
  const { maxPeers = made.maxPeers, grainMs = made.grainMs, blockLength = made.blockLength } = options;
  const world = new World({ ...made, maxPeers, grainMs, blockLength }, options.seed);
  world.run();
  return reportOn(world);
}
