import { readFile } from 'node:fs/promises';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { simulate } from './simulate.ts';

/** One run of the rig, as `npm run bench -- calibrate` records it. */
const Entry = Type.Object({
  /** A name that rig and simulator both know. */
  scenario: Type.String(),
  nodes: Type.Integer({ minimum: 1 }),
  /** Each way, of each agent and of the origin. */
  rateMbit: Type.Number({ exclusiveMinimum: 0 }),
  bytes: Type.Integer({ minimum: 1 }),
  /** Until half of the nodes and until the last one had all. */
  p50Seconds: Type.Number({ exclusiveMinimum: 0 }),
  maxSeconds: Type.Number({ exclusiveMinimum: 0 }),
});
const Entries = Compile(Type.Array(Entry));

export type CalibrationEntry = Static<typeof Entry>;

/** Simulated over recorded. */
export interface Comparison {
  readonly p50: number;
  readonly max: number;
}

/** The rig's figures. @throws Error where the file is missing or malformed */
export async function loadCalibration(path: string): Promise<CalibrationEntry[]> {
  const entries: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (Entries.Check(entries)) return entries;
  const [first] = Entries.Errors(entries);
  throw new Error(`${path}: ${first?.instancePath ?? ''} ${first?.message ?? 'is malformed'}`);
}

/** Simulates what the rig ran. @throws Error for a scenario that the simulator does not know */
export function compare(entry: CalibrationEntry): Comparison {
  const report = simulate(entry.scenario, { ...entry, seed: 1 });
  if (!report) throw new Error(`calibration: no scenario has the name ${entry.scenario}`);
  return { p50: report.p50Seconds / entry.p50Seconds, max: report.maxSeconds / entry.maxSeconds };
}
