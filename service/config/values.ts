import { Check } from 'typebox/value';
import type { TSchema } from 'typebox';
import { parse } from 'yaml';

import { ConfigError, show } from './config-error.ts';
import { allowedFor } from './leaves.ts';
import type { KnobSchema, Leaf } from './leaves.ts';
import { parseDuration, parseRate, parseSize, UnitError } from './units.ts';

/**
 * The typed value of a knob.
 * @param raw as it stands in a file (any YAML value) or, with `isText`, in the environment or a flag.
 * @param source for the message: the file, variable or flag.
 * @throws ConfigError
 */
export function readValue(leaf: Leaf, raw: unknown, isText: boolean, source: string): unknown {
  const value = convert(leaf.schema, raw, isText);
  if (value === undefined || !Check(leaf.schema as TSchema, value))
    throw new ConfigError(`${leaf.knob} is ${show(raw)} (${source}): ${allowedFor(leaf.schema)} is allowed`);
  return value;
}

function convert(schema: KnobSchema, raw: unknown, isText: boolean): unknown {
  if (schema.unit !== undefined) return quantity(schema, raw);
  return isText && typeof raw === 'string' ? fromText(schema, raw) : raw;
}

/** A size may be a bare number of bytes; what is per time or a time needs its unit, 0 apart. */
function quantity({ unit }: KnobSchema, raw: unknown): number | undefined {
  if (typeof raw === 'number') return unit === 'bytes' || raw === 0 ? raw : undefined;
  if (typeof raw !== 'string') return undefined;
  try {
    if (unit === 'bytes') return parseSize(raw);
    return unit === 'ms' ? parseDuration(raw) : parseRate(raw);
  } catch (error) {
    if (error instanceof UnitError) return undefined;
    throw error;
  }
}

function fromText(schema: KnobSchema, text: string): unknown {
  switch (schema.type) {
    case 'integer':
      return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'array':
      return text.startsWith('[') ? parseFlow(text) : listFromText(text);
    case 'object':
      return parseFlow(text);
    default:
      return text;
  }
}

function listFromText(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function parseFlow(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch {
    return undefined; // the caller's message names the knob and what is allowed
  }
}
