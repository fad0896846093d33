import { parseArgs } from 'node:util';
import { asError } from '#registry/as-error.ts';
import { varyPolicy } from './variation.ts';

const USAGE = `npm run sim -- <scenario> [options]

Scenarios: flash-crowd, cold, unequal, kraken-headline, zones, many-blobs, dying, origin-lost, tracker-lost (sim/README.md).

  --nodes N          hosts
  --rate-mbit N      of each host's link, either way
  --bytes N          of each blob
  --peers N          connections of one host for one blob, at most (knob peer.maxPeersPerSwarm)
  --scale N          all bytes and rates are divided by it, pieces are not: the larger, the coarser and quicker
  --block N          bytes of a block
  --grain N          milliseconds between two sharings of the links
  --seed N           the same gives the same run (default: 1)
  --set NAME=value   has a policy constant of swarm/core, swarm/session/defaults.ts, swarm/wire/defaults.ts or
                     swarm/announce/constants.ts read as another number; may be repeated
  --json             without the table: one line of JSON, the last one either way
`;

const { values, positionals } = parse();
if (values.help) {
  console.log(USAGE);
  process.exit();
}

const changes = new Map(values.set.map(parseChange));
const unmet = varyPolicy(changes);
// Only now: the constants are read when the modules are loaded.
const { simulate } = await import('./simulate.ts');
const missing = unmet();
if (missing.length > 0) fail(`no policy constant has the name ${missing.join(', ')}`);

const [name] = positionals;
if (name === undefined || positionals.length > 1) fail('exactly one scenario is needed');
const begun = performance.now();
const report = simulate(name, {
  seed: whole('seed', values.seed, 1, 2 ** 32 - 1)!,
  nodes: whole('nodes', values.nodes, 1, 100_000),
  rateMbit: number('rate-mbit', values['rate-mbit'], 0.1, 1e6),
  bytes: whole('bytes', values.bytes, 1, 1e13),
  scale: number('scale', values.scale, 1, 1_000),
  maxPeers: whole('peers', values.peers, 1, 10_000),
  grainMs: number('grain', values.grain, 0.001, 60_000),
  blockLength: whole('block', values.block, 16_384, 1e9),
});
if (report === undefined) fail(`no scenario has the name ${name}`);
const result = {
  ...report,
  ...(changes.size > 0 && { set: Object.fromEntries(changes) }),
  wallSeconds: Math.round((performance.now() - begun) / 1_000),
  peakRssMiB: Math.round(process.resourceUsage().maxRSS / 1_024),
};
if (!values.json) console.table(result);
console.log(JSON.stringify(result));

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        nodes: { type: 'string' },
        'rate-mbit': { type: 'string' },
        bytes: { type: 'string' },
        scale: { type: 'string' },
        peers: { type: 'string' },
        grain: { type: 'string' },
        block: { type: 'string' },
        set: { type: 'string', multiple: true, default: [] },
      },
    });
  } catch (error) {
    return fail(asError(error).message);
  }
}

function parseChange(text: string): [string, string] {
  const [, constant, value] = /^([A-Z][A-Z0-9_]*)=([\d._]+|Infinity)$/.exec(text) ?? [];
  if (constant === undefined || value === undefined)
    fail(`--set ${text}: allowed is NAME=number, from 0 to Infinity`);
  return [constant, value];
}

function number(option: string, text: string | undefined, from: number, to: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= from && value <= to)) fail(`--${option} ${text}: allowed is a number from ${from} to ${to}`);
  return value;
}

function whole(option: string, text: string | undefined, from: number, to: number): number | undefined {
  const value = number(option, text, from, to);
  if (value !== undefined && !Number.isInteger(value))
    fail(`--${option} ${text}: allowed is a whole number from ${from} to ${to}`);
  return value;
}

function fail(problem: string): never {
  console.error(`${problem}\n\n${USAGE}`);
  process.exit(2);
}
