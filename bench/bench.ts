import { setPriority } from 'node:os';
import { calibrate } from './calibrate.ts';
import { OptionError, parseOptions, usage } from './options.ts';
import { checkMachine, sweep } from './rig/machine.ts';
import { toResult } from './result.ts';
import { SCENARIOS } from './scenarios.ts';
import { renderTable } from './table.ts';

/**
 * Brings content to many nodes over shaped links, with the real parts, and says how near to the bound and how dear it was.
 *
 *     npm run bench -- <scenario> [options]
 *     npm run bench -- calibrate
 */
async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const say = (text: string): void =>
    void process.stderr.write(
      `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}\n`,
    );
  if (args.includes('--help') || args.includes('-h')) return void process.stdout.write(usage(SCENARIOS));
  const calibrating = args.length === 1 && args[0] === 'calibrate';
  const options = calibrating ? undefined : parseOptions(args, SCENARIOS);
  await checkMachine();
  await sweep();
  if (!options) return calibrate({ signal, say });
  // Inherited by all that is started.
  if (options.priority !== undefined) setPriority(options.priority);
  const outcome = await options.scenario.run(options, { signal, say });
  const result = toResult(options, outcome);
  process.stdout.write(`\n${renderTable(result, outcome)}`);
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    process.exitCode = 1;
    stop.abort(new Error(`stopped by ${name}`));
  });
}
try {
  await main(process.argv.slice(2), stop.signal);
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof OptionError) process.stderr.write(`\n${usage(SCENARIOS)}`);
}
