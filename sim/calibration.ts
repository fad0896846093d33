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
  /** Until the last node had all. */
  maxSeconds: Type.Number({ exclusiveMinimum: 0 }),
});
const Entries = Compile(Type.Array(Entry));

export type CalibrationEntry = Static<typeof Entry>;

export interface Comparison extends CalibrationEntry {
  readonly simulatedSeconds: number;
  /** Simulated over recorded. */
  readonly quotient: number;
}

/** The rig's figures; none where the file is missing. @throws Error where it is malformed */
export async function loadCalibration(path: string): Promise<CalibrationEntry[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '[]';
    throw error;
  });
  const entries: unknown = JSON.parse(text);
  if (Entries.Check(entries)) return entries;
  const [first] = Entries.Errors(entries);
  throw new Error(`${path}: ${first?.instancePath ?? ''} ${first?.message ?? 'is malformed'}`);
}

/** Simulates what the rig ran. @throws Error for a scenario that the simulator does not know */
export function compare(entry: CalibrationEntry): Comparison {
  const report = simulate(entry.scenario, { ...entry, seed: 1 });
  if (!report) throw new Error(`calibration: no scenario has the name ${entry.scenario}`);
  const simulatedSeconds = report.maxSeconds;
  return { ...entry, simulatedSeconds, quotient: simulatedSeconds / entry.maxSeconds };
}
