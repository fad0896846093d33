import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseOptions } from './options.ts';
import { toResult } from './result.ts';
import type { Context } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

/** What simulator and rig are compared by; read by `sim/calibration.ts`. */
const CALIBRATION_PATH = join(import.meta.dirname, 'calibration.json');

/** Small enough that the machine's cores are no limit: the simulator knows of none. */
const RUNS = [
  ['flash-crowd', '--nodes=8', '--rate-mbit=100', '--size-mib=128'],
  ['cold', '--nodes=8', '--rate-mbit=100', '--size-mib=128'],
  ['unequal', '--nodes=8', '--rate-mbit=40', '--size-mib=64'],
];

/** Runs three scenarios and records what they took, in place of what was recorded before. */
export async function calibrate(context: Context): Promise<void> {
  const records = [];
  for (const args of RUNS) {
    const options = parseOptions([...args, '--no-direct'], SCENARIOS);
    context.say(args.join(' '));
    const outcome = await options.scenario.run(options, context);
    const result = toResult(options, outcome);
    const { scenario, nodes, rateMbit, bytes, p50Seconds, maxSeconds, otherBusyCores, at } = result;
    context.say(`p50 ${p50Seconds} s, max ${maxSeconds} s; ${otherBusyCores} cores busy with other things`);
    records.push({ scenario, nodes, rateMbit, bytes, p50Seconds, maxSeconds, otherBusyCores, at });
  }
  await writeFile(CALIBRATION_PATH, `${JSON.stringify(records, undefined, 2)}\n`);
  context.say(`recorded in ${CALIBRATION_PATH}`);
}
