import { parseArgs } from 'node:util';
import { varyPolicy } from './variation.ts';

const USAGE = `npm run sim -- <scenario> [--json] [--seed n] [--nodes n] [--rate-mbit n] [--bytes n] [--scale n] [--peers n]
                            [--set NAME=value]...
Scenarios: flash-crowd, cold, kraken-headline, zones, many-blobs, dying, origin-lost, tracker-lost.
--set has a policy constant of swarm/core, swarm/session/defaults.ts or swarm/announce/constants.ts read as another value.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
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
  seed: numberOf('seed', values.seed)!,
  nodes: numberOf('nodes', values.nodes),
  rateMbit: numberOf('rate-mbit', values['rate-mbit']),
  bytes: numberOf('bytes', values.bytes),
  scale: numberOf('scale', values.scale),
  maxPeers: numberOf('peers', values.peers),
  grainMs: numberOf('grain', values.grain),
  blockLength: numberOf('block', values.block),
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

function parseChange(text: string): [string, string] {
  const [, constant, value] = /^([A-Z][A-Z0-9_]*)=([\d._]+|Infinity)$/.exec(text) ?? [];
  if (constant === undefined || value === undefined) fail(`--set ${text}: it must be NAME=number`);
  return [constant, value];
}

function numberOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) fail(`--${option} ${text}: it must be a number above 0`);
  return value;
}

function fail(problem: string): never {
  console.error(`${problem}\n${USAGE}`);
  process.exit(2);
}
