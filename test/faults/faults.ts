import { writeFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { checkMachine, sweep } from '../../bench/rig/machine.ts';
import { FAULTS } from './catalogue.ts';
import { runCell, UNDISTURBED, type Cell } from './cell.ts';
import { countDescriptors, findLeaks } from './descriptors.ts';
import { parseOptions, type Options } from './options.ts';
import { Stage } from './stage.ts';
import { renderLine, renderMarkdown } from './table.ts';

/** As `ratio`: the middle of so many. */
const UNDISTURBED_RUNS = 3;

/**
 * Pulls on six agents at once while something goes wrong: each fault at each moment, on the rig of `bench/`.
 *
 *     npm run test:faults -- [--faults NAME,…] [--moments PERCENT,…] [--markdown FILE] [--logs DIRECTORY]
 */
async function main(
  { faults, moments, silence, markdown, settle, logs }: Options,
  signal: AbortSignal,
): Promise<number> {
  await checkMachine();
  await sweep();
  await using stage = await Stage.set(signal);
  await using after = new AsyncDisposableStack();
  if (logs !== undefined) after.defer(() => stage.keepLogs(logs));
  const before = await countDescriptors(stage.parts);
  const cells: Cell[] = [];
  const run = async (fault: (typeof faults)[number], moment: number): Promise<Cell> => {
    const cell = await runCell(stage, fault, { moment, mostSilence: silence });
    cells.push(cell);
    console.error(renderLine(cell, undisturbed));
    return cell;
  };
  let undisturbed = Number.NaN;
  const times: number[] = [];
  while (times.length < UNDISTURBED_RUNS) times.push((await run(UNDISTURBED, 50)).seconds);
  undisturbed = times.toSorted((one, other) => one - other)[Math.floor(UNDISTURBED_RUNS / 2)]!;
  for (const fault of faults) for (const moment of moments) await run(fault, moment);
  const table = renderMarkdown(cells.slice(UNDISTURBED_RUNS), undisturbed);
  console.log(`\n${table}\n\nundisturbed: ${undisturbed.toFixed(1)} s`);
  if (markdown !== undefined) await writeFile(markdown, `${table}\n`);
  const leaks = settle ? await findLeaks(before, signal) : [];
  for (const leak of leaks) console.error(leak);
  return leaks.length + cells.filter(({ complaints }) => complaints.length > 0).length;
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
try {
  const bad = await main(parseOptions(process.argv.slice(2), FAULTS), stop.signal);
  if (bad > 0) console.error(`${bad} things are not as they should be`);
  process.exitCode = bad > 0 ? 1 : 0;
} catch (error) {
  process.exitCode = 1;
  if (!(error instanceof CommanderError)) console.error(error);
  else if (error.exitCode === 0) process.exitCode = 0;
}
