import { parseArgs } from 'node:util';
import type { Scenario } from './scenario.ts';

export interface Options {
  readonly scenario: Scenario;
  readonly nodes: number;
  /** Undefined: links are not shaped. */
  readonly rateMbit: number | undefined;
  readonly sizeMib: number;
  /** How long a full queue of a link delays a packet. */
  readonly queueMs: number;
  /** Size of a link's token bucket. */
  readonly burstKib: number;
  /** Whether the same bytes are pulled straight from the upstream registry too. */
  readonly direct: boolean;
  readonly json: boolean;
  /** Weight of the rig's processes against others of the machine, from -20 (most) to 19; undefined: as it is. */
  readonly priority: number | undefined;
  /** Directory for CPU profiles of every part. */
  readonly profiles: string | undefined;
  /** Flags of Node for every part. */
  readonly nodeFlags: readonly string[];
}

/** The command line is not understood; the message says what is allowed. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

const NODES = { from: 1, to: 64 };
const RATE = { from: 0, to: 10_000 };
const SIZE = { from: 1, to: 65_536 };
const QUEUE = { from: 1, to: 1000 };
const QUEUE_MS = 50;
const PRIORITY = { from: -20, to: 19 };
const BURST = { from: 2, to: 4096 };
/** Room for a segment of 64 KiB with its headers as the kernel hands it to a card that cuts it up itself (TSO). */
const BURST_KIB = 128;

/** @throws OptionError */
export function parseOptions(args: readonly string[], scenarios: readonly Scenario[]): Options {
  const { values, positionals } = parse(args);
  const [name, ...rest] = positionals;
  const scenario = scenarios.find((one) => one.name === name);
  if (scenario === undefined || rest.length > 0) {
    const given = name === undefined ? 'no scenario was named' : `"${positionals.join(' ')}" is no scenario`;
    throw new OptionError(`${given}; allowed is one of ${scenarios.map((one) => one.name).join(', ')}`);
  }
  const { defaults, leastNodes = 1, fixedSize } = scenario;
  if (fixedSize !== undefined && values['size-mib'] !== undefined) {
    throw new OptionError(`--size-mib is not for ${scenario.name}, which pulls ${fixedSize}`);
  }
  const rate = whole('rate-mbit', values['rate-mbit'], RATE) ?? defaults.rateMbit;
  return {
    scenario,
    nodes: whole('nodes', values.nodes, { ...NODES, from: leastNodes }) ?? defaults.nodes,
    rateMbit: rate === 0 ? undefined : rate,
    sizeMib: whole('size-mib', values['size-mib'], SIZE) ?? defaults.sizeMib,
    queueMs: whole('queue-ms', values['queue-ms'], QUEUE) ?? QUEUE_MS,
    burstKib: whole('burst-kib', values['burst-kib'], BURST) ?? BURST_KIB,
    priority: whole('priority', values.priority, PRIORITY),
    direct: values['no-direct'] !== true,
    json: values.json === true,
    profiles: values['cpu-prof-dir'],
    nodeFlags: (values['node-flags'] ?? '').split(' ').filter((flag) => flag !== ''),
  };
}

export function usage(scenarios: readonly Scenario[]): string {
  const lines = scenarios.map(({ name, summary, fixedSize, defaults }) => {
    const { nodes, rateMbit, sizeMib } = defaults;
    const size = fixedSize ?? `${sizeMib} MiB`;
    const rate = rateMbit === undefined ? 'not shaped' : `${rateMbit} Mbit/s`;
    return `  ${name.padEnd(14)}${summary} (default: ${nodes} agents, ${size}, ${rate})`;
  });
  return `npm run bench -- <scenario> [options]   (root; ip, tc, nginx)
npm run bench -- calibrate              records what the simulator is compared with

${lines.join('\n')}

  --nodes N          agents
  --rate-mbit N      width of every link, either way; 0 is not shaped
  --size-mib N       size of what is pulled
  --queue-ms N       how long a full queue of a link delays a packet (default: ${QUEUE_MS})
  --burst-kib N      size of a link's token bucket (default: ${BURST_KIB}); below 80 the kernel cuts every segment
                     into packets on its own account, which costs the parts a third more CPU
  --no-direct        without the pulls straight from nginx
  --priority=N       weight of the rig's processes against others, as of nice: -20 is the most
  --cpu-prof-dir D   writes a CPU profile of every part to D
  --node-flags='F …' runs every part with these flags of Node
  --json             the result as one line of JSON, the last one
`;
}

function parse(args: readonly string[]): ReturnType<typeof parseKnown> {
  try {
    return parseKnown(args);
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function parseKnown(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      nodes: { type: 'string' },
      'rate-mbit': { type: 'string' },
      'size-mib': { type: 'string' },
      'queue-ms': { type: 'string' },
      priority: { type: 'string' },
      'burst-kib': { type: 'string' },
      'no-direct': { type: 'boolean' },
      'cpu-prof-dir': { type: 'string' },
      'node-flags': { type: 'string' },
      json: { type: 'boolean' },
    },
  });
}

function whole(
  name: string,
  text: string | undefined,
  { from, to }: { from: number; to: number },
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw new OptionError(`--${name} is "${text}"; allowed is a whole number from ${from} to ${to}`);
}
