import type { TSchema } from 'typebox';

import { UNIT_SUFFIXES } from './knobs.ts';
import type { Unit } from './knobs.ts';
import {
  DURATION_EXAMPLES,
  formatDuration,
  formatRate,
  formatSize,
  RATE_EXAMPLES,
  SIZE_EXAMPLES,
} from './units.ts';

/** The parts of a JSON schema that knobs are made of. */
export interface KnobSchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly unit?: Unit;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  /** How a default that differs from machine to machine is told in the reference. */
  readonly defaultText?: string;
  readonly description?: string;
  readonly allowed?: string;
  readonly properties?: Readonly<Record<string, KnobSchema>>;
  readonly required?: readonly string[];
}

/** One knob of a part. */
export interface Leaf {
  /** Path in the typed configuration: `['store', 'quotaBytes']`. */
  readonly path: readonly string[];
  /** As it is written in files and flags: `store.quota`. */
  readonly knob: string;
  /** `SHOAL_STORE_QUOTA`. */
  readonly env: string;
  readonly schema: KnobSchema;
  /** Whether the configuration is incomplete without it (and it has no default). */
  readonly required: boolean;
}

/** All knobs of a part, in the schema's order. */
export function leavesOf(schema: TSchema): Leaf[] {
  return collect(schema, [], []);
}

function collect(schema: KnobSchema, path: readonly string[], names: readonly string[]): Leaf[] {
  return Object.entries(schema.properties ?? {}).flatMap(([property, inner]) => {
    const nextPath = [...path, property];
    const nextNames = [...names, knobName(property, inner)];
    if (inner.properties) return collect(inner, nextPath, nextNames);
    const required = (schema.required ?? []).includes(property) && inner.default === undefined;
    return [{ path: nextPath, knob: nextNames.join('.'), env: envName(nextNames), schema: inner, required }];
  });
}

function knobName(property: string, { unit }: KnobSchema): string {
  if (unit === undefined) return property;
  const suffix = UNIT_SUFFIXES[unit];
  if (!property.endsWith(suffix))
    throw new TypeError(`the property ${property} holds ${unit}: its name must end in ${suffix}`);
  return property.slice(0, -suffix.length);
}

function envName(names: readonly string[]): string {
  const words = names.map((name) => name.replaceAll(/([A-Z])/g, '_$1'));
  return `SHOAL_${words.join('_').toUpperCase()}`;
}

/** What may be written for a knob, in words. */
export function allowedFor(schema: KnobSchema): string {
  if (schema.allowed !== undefined) return schema.allowed;
  if (schema.enum) return `one of ${schema.enum.join(', ')}`;
  const range = rangeOf(schema);
  if (schema.unit !== undefined) return `${EXAMPLES[schema.unit]}, ${range}`;
  if (schema.type === 'integer') return `a whole number ${range}`;
  if (schema.type === 'boolean') return 'true or false';
  return 'a text';
}

const EXAMPLES: Readonly<Record<Unit, string>> = {
  bytes: SIZE_EXAMPLES,
  'bytes/s': RATE_EXAMPLES,
  ms: DURATION_EXAMPLES,
};

function rangeOf(schema: KnobSchema): string {
  return `from ${formatQuantity(schema.minimum ?? 0, schema.unit)} to ${formatQuantity(schema.maximum ?? Infinity, schema.unit)}`;
}

/** A number as it is written in a file. */
export function formatQuantity(value: number, unit: Unit | undefined): string {
  if (unit === 'bytes') return formatSize(value);
  if (unit === 'bytes/s') return formatRate(value);
  if (unit === 'ms') return formatDuration(value);
  return String(value);
}
