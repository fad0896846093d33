import { countBuffersAsHeap } from '#cli/buffers-as-heap.ts';
import { reportFailure } from '#cli/failure.ts';
import { parseOptions } from './options.ts';
import { renderResult, summarize } from './result-table.ts';
import { runDemo } from './run-demo.ts';
import { StopSignals } from './stop-signals.ts';
import { findFaults } from './verdict.ts';

// What pulls shares the cores with the parts.
countBuffersAsHeap();

using stop = new StopSignals();
try {
  const options = parseOptions(process.argv.slice(2));
  const outcome = await runDemo(options, { signal: stop.signal, screen: process.stdout });
  const faults = findFaults(outcome);
  process.stdout.write(`\n${renderResult(outcome.result)}\n`);
  for (const fault of faults) process.stdout.write(`NOT AS PROMISED: ${fault}\n`);
  if (options.json) process.stdout.write(`${JSON.stringify(summarize(outcome.result))}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} catch (error) {
  if (!stop.signal.aborted)
    process.exitCode = reportFailure(error, process.stderr, process.env['SHOAL_DEBUG'] !== undefined);
} finally {
  if (stop.signal.aborted) {
    process.stdout.write('\nStopped: nothing still runs, and what was written is removed.\n');
    process.exitCode = stop.exitCode;
  }
}
