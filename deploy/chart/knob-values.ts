import type { TSchema } from 'typebox';

import { allowedFor, leavesOf } from '#service/config/leaves.ts';
import type { KnobSchema, Leaf } from '#service/config/leaves.ts';
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

/** The knobs of a part that are not the chart's own to set. */
export function chosenKnobs(part: Part): Leaf[] {
  return leavesOf(SCHEMAS[part]).filter(({ knob }) => !OWN.has(knob));
}

/** The JSON schema of the knobs of a part as they are written in YAML, without those that the chart sets. */
export function knobValues(part: Part, value: object = {}): TSchema {
  const named = chosenKnobs(part).map(({ knob, schema }) => ({ names: knob.split('.'), schema }));
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

/** How quantities are written, by their unit. */
const WRITTEN: Readonly<Record<Unit, string>> = {
  bytes: `^\\s*${SIZE_PATTERN}\\s*$`,
  'bytes/s': `^\\s*${RATE_PATTERN}\\s*$`,
  ms: `^\\s*(?:${DURATION_PATTERN})\\s*$`,
};

/** The bounds of bare numbers are said here, those of numbers with their unit by the chart's templates. */
function valueOf(schema: KnobSchema): TSchema {
  const description = `${schema.description ?? ''} (${allowedFor(schema)})`;
  const { default: _default, defaultText: _text, allowed: _allowed, unit, ...rest } = schema;
  if (unit === undefined) return { ...rest, description };
  const written = { type: 'string', minLength: 1, pattern: WRITTEN[unit], description };
  const { minimum, maximum } = rest;
  const type = ['string', 'integer'];
  if (unit === 'bytes') return { ...written, type, minimum, maximum };
  return unit === 'ms' && minimum === 0 ? { ...written, type, minimum: 0, maximum: 0 } : written;
}
