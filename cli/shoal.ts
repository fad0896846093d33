#!/usr/bin/env node
import { reportFailure } from './failure.ts';
import { createProgram } from './program.ts';

try {
  const program = await createProgram(process.argv[2]);
  await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = reportFailure(error, process.stderr, process.env['SHOAL_DEBUG'] !== undefined);
}
