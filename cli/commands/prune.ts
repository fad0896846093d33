import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

import { askAgent, dataOption } from '#cli/admin.ts';
import type { AdminOptions } from '#cli/admin.ts';
import { UsageError } from '#cli/failure.ts';
import { describePruned } from '#cli/admin-answers.ts';
import { parseDuration, parseSize, UnitError } from '#service/config/units.ts';

interface PruneOptions extends AdminOptions {
  readonly all?: boolean;
  readonly olderThan?: number;
  readonly to?: number;
}

export function register(program: Command): void {
  program
    .command('prune')
    .description("Removes blobs from the running agent's store, those unused for longest first.")
    .addOption(dataOption())
    .option('--all', 'everything that is not in use: read now, or seeded to a peer until a minute ago')
    .option('--older-than <duration>', 'what was not used for so long, such as 7d', quantity(parseDuration))
    .option('--to <size>', 'until no more than this is left, such as 10GiB', quantity(parseSize))
    .action(async (options: PruneOptions) => {
      const { all, olderThan, to } = options;
      if ([all, olderThan, to].filter((policy) => policy !== undefined).length !== 1)
        throw new UsageError('name one of --all, --older-than and --to');
      const body = {
        ...(all !== undefined && { all }),
        ...(olderThan !== undefined && { olderThanMs: olderThan }),
        ...(to !== undefined && { toBytes: to }),
      };
      const answer = await askAgent(options, { method: 'POST', path: '/v1/prune', body });
      process.stdout.write(`${describePruned(answer)}\n`);
    });
}

function quantity(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof UnitError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}
