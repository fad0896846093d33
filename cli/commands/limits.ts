import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';

import { askAgent, dataOption } from '#cli/admin.ts';
import type { AdminOptions } from '#cli/admin.ts';
import { UsageError } from '#cli/failure.ts';
import { describeLimits } from '#cli/admin-answers.ts';
import { ALLOWED_RATES, LEAST_RATE, MOST_RATE } from '#service/config/bandwidth.ts';
import { parseRate, UnitError } from '#service/config/units.ts';

interface LimitOptions extends AdminOptions {
  readonly download?: number | 'none';
  readonly upload?: number | 'none';
}

export function register(program: Command): void {
  program
    .command('limits')
    .description("Changes the running agent's bandwidth limits until it is started again.")
    .addOption(dataOption())
    .option('--download <rate>', 'all downloads together: a rate such as 20MB/s, or none', rateOrNone)
    .option('--upload <rate>', 'all uploads together: a rate such as 20MB/s, or none', rateOrNone)
    .action(async (options: LimitOptions) => {
      const { download, upload } = options;
      if (download === undefined && upload === undefined)
        throw new UsageError('nothing to change: name --download, --upload or both');
      const body = {
        ...(download !== undefined && { downloadBytesPerSecond: numberOrNull(download) }),
        ...(upload !== undefined && { uploadBytesPerSecond: numberOrNull(upload) }),
      };
      const answer = await askAgent(options, { method: 'PATCH', path: '/v1/limits', body });
      process.stdout.write(`${describeLimits(answer)}\n`);
    });
}

/** How the agent is told that there is no limit. */
function numberOrNull(rate: number | 'none'): number | null {
  return rate === 'none' ? null : rate;
}

/** @returns bytes per second, or that there is no limit. */
function rateOrNone(text: string): number | 'none' {
  if (text === 'none') return text;
  try {
    const rate = parseRate(text);
    if (rate >= LEAST_RATE && rate <= MOST_RATE) return rate;
  } catch (error) {
    if (!(error instanceof UnitError)) throw error;
  }
  throw new InvalidArgumentError(`${ALLOWED_RATES}, is allowed`);
}
