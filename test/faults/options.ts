import { Command, InvalidArgumentError, Option } from 'commander';
import type { Fault } from './fault.ts';

export interface Options {
  readonly faults: readonly Fault[];
  /** Percent. */
  readonly moments: readonly number[];
  /** Seconds that a runtime may wait for a byte which a source has. */
  readonly silence: number;
  /** File for the table in Markdown. */
  readonly markdown?: string;
  /** Whether to look, once all is over and connections have idled away, that no part has more descriptors than before. */
  readonly settle: boolean;
  /** Directory for the logs of all parts. */
  readonly logs?: string;
}

/** On a machine of its own; on a shared one all is late now and then. */
const MOST_SILENCE = 3;
const MOMENTS = '10,40,90';

/** @throws CommanderError for what is not allowed; commander has told it then. */
export function parseOptions(argv: readonly string[], all: readonly Fault[]): Options {
  const names = all.map(({ name }) => name).join(',');
  const faults = (text: string): Fault[] =>
    text.split(',').map((name) => {
      const found = all.find((one) => one.name === name);
      if (found === undefined) throw new InvalidArgumentError(`"${name}" is none of ${names}.`);
      return found;
    });
  return new Command('npm run test:faults --')
    .description('Pulls on six agents at once while something goes wrong, each fault at each moment.')
    .addOption(
      new Option('--faults <names>', `only these of ${names}`).argParser(faults).default([...all], 'all'),
    )
    .addOption(
      new Option('--moments <percents>', 'at these, 1 to 99')
        .argParser(moments)
        .default(moments(MOMENTS), MOMENTS),
    )
    .addOption(
      new Option('--silence <seconds>', 'that a runtime may wait for a byte which a source has')
        .argParser(silence)
        .default(MOST_SILENCE),
    )
    .option('--markdown <file>', 'write the table there')
    .option('--settle', 'wait at the end, and see that no descriptor is left open', false)
    .option('--logs <directory>', 'keep the logs of all parts there')
    .allowExcessArguments(false)
    .exitOverride()
    .parse(argv, { from: 'user' })
    .opts<Options>();
}

function moments(text: string): number[] {
  return text.split(',').map((percent) => {
    if (!/^[1-9]\d?$/.test(percent))
      throw new InvalidArgumentError(`whole numbers from 1 to 99 are allowed, such as ${MOMENTS}.`);
    return Number(percent);
  });
}

function silence(text: string): number {
  if (/^[1-9]\d?$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number of seconds from 1 to 99 is allowed.');
}
