import { Command, InvalidArgumentError } from 'commander';
import { parseRate, parseSize } from '#service/config/units.ts';

export interface DemoOptions {
  readonly nodes: number;
  /** Bytes. */
  readonly imageSize: number;
  /** Bytes per second. */
  readonly upstreamRate: number;
  /** Whether the direct pulls are made too. */
  readonly direct: boolean;
  readonly json: boolean;
  readonly logs?: string;
}

const NODES = { least: 1, most: 40 };
const IMAGE = { least: 1e6, most: 4e9 };
const RATE = { least: 1e6, most: 1e9 };

/** @throws CommanderError for what is not allowed; commander has told it then. */
export function parseOptions(argv: readonly string[]): DemoOptions {
  return new Command('npm run demo --')
    .description('Brings one image to several nodes at once, through Shoal and straight from the registry.')
    .option('--nodes <count>', `nodes that pull, ${NODES.least} to ${NODES.most}`, nodes, 6)
    .option('--image-size <size>', 'size of the image, 1MB to 4GB', imageSize, 160e6)
    .option('--upstream-rate <rate>', "width of the registry's link, 1MB/s to 1GB/s", upstreamRate, 20e6)
    .option('--no-direct', 'leave out the comparison with pulls straight from the registry')
    .option('--logs <file>', 'write what tracker, origins and agents log to a file')
    .option('--json', 'print the result once more, as JSON, on the last line', false)
    .allowExcessArguments(false)
    .exitOverride()
    .parse(argv, { from: 'user' })
    .opts<DemoOptions>();
}

function nodes(text: string): number {
  return within(/^\d{1,4}$/.test(text) ? Number(text) : Number.NaN, NODES, '1 to 40');
}

function imageSize(text: string): number {
  return within(parsed(parseSize, text), IMAGE, '1MB to 4GB');
}

function upstreamRate(text: string): number {
  return within(parsed(parseRate, text), RATE, '1MB/s to 1GB/s');
}

function parsed(parse: (text: string) => number, text: string): number {
  try {
    return parse(text);
  } catch {
    return Number.NaN; // told in the words of the caller
  }
}

function within(value: number, { least, most }: { least: number; most: number }, allowed: string): number {
  if (value >= least && value <= most) return value;
  throw new InvalidArgumentError(`${allowed} is allowed.`);
}
