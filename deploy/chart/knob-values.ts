import type { TSchema } from 'typebox';

import { allowedFor, leavesOf } from '#service/config/leaves.ts';
import type { KnobSchema } from '#service/config/leaves.ts';
import type { Unit } from '#service/config/knobs.ts';
import { SCHEMAS } from '#service/config/load.ts';
import type { Part } from '#service/config/load.ts';
import { DURATION_PATTERN, RATE_PATTERN, SIZE_PATTERN } from '#service/config/units.ts';

/** Knobs that the chart sets itself: keys, addresses and places that follow from what it installs. */
const OWN: ReadonlySet<string> = new Set([
  'advertise',
  'clusterKeyFile',
  'door.listen',
  'kubernetes.agentService',
  'kubernetes.enabled',
  'kubernetes.lease',
  'kubernetes.startupTaint',
  'listen',
  'members.listen',
  'mirror.reportFile',
  'mtls.caFile',
  'mtls.certFile',
  'mtls.keyFile',
  'node.name',
  'origins',
  'peer.advertise',
  'peer.listen',
  'security',
  'signingKeyFile',
  'status.listen',
  'status.metricsTokenFile',
  'store.path',
  'trackers',
  'trustedOriginKeys',
]);

/** The JSON schema of the knobs of a part as they are written in YAML, without those that the chart sets. */
export function knobValues(part: Part, value: object = {}): TSchema {
  const leaves = leavesOf(SCHEMAS[part]).filter(({ knob }) => !OWN.has(knob));
  const named = leaves.map(({ knob, schema }) => ({ names: knob.split('.'), schema }));
  const description = `Knobs of the ${part}; docs/configuration.md has them all.`;
  return { ...group(named), default: value, description };
}

interface NamedKnob {
  readonly names: readonly string[];
  readonly schema: KnobSchema;
}

function group(knobs: readonly NamedKnob[]): TSchema {
  const byName = Map.groupBy(knobs, ({ names }) => names[0] ?? '');
  const properties = [...byName].map(([name, inside]) => [name, member(inside)]);
  return { type: 'object', additionalProperties: false, properties: Object.fromEntries(properties) };
}

function member(knobs: readonly NamedKnob[]): TSchema {
  const [only] = knobs;
  if (only?.names.length === 1) return valueOf(only.schema);
  return group(knobs.map(({ names, schema }) => ({ names: names.slice(1), schema })));
}

/** How quantities are written, by their unit: what is no number is for the pattern. */
const WRITTEN: Readonly<Record<Unit, TSchema>> = {
  bytes: { type: ['string', 'integer'], minLength: 1, pattern: `^\\s*${SIZE_PATTERN}\\s*$` },
  'bytes/s': { type: 'string', pattern: `^\\s*${RATE_PATTERN}\\s*$` },
  ms: {
    type: ['string', 'integer'],
    minLength: 1,
    pattern: `^\\s*(?:${DURATION_PATTERN})\\s*$`,
    minimum: 0,
    maximum: 0,
  },
};

/** Quantities are written with their unit; the part itself checks their bounds. */
function valueOf(schema: KnobSchema): TSchema {
  const description = `${schema.description ?? ''} (${allowedFor(schema)})`;
  if (schema.unit !== undefined) return { ...WRITTEN[schema.unit], description };
  const { default: _default, defaultText: _text, allowed: _allowed, ...rest } = schema;
  return { ...rest, description };
}
