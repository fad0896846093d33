import { allowedFor, formatQuantity } from '#service/config/leaves.ts';
import type { KnobSchema } from '#service/config/leaves.ts';
import type { Part } from '#service/config/load.ts';
import { STOP_GRACE_MS } from '#service/lifecycle.ts';
import { BYTE_UNITS, TIME_UNITS } from '#service/config/units.ts';

import { chosenKnobs } from './knob-values.ts';
import { QUANTITY_UNITS } from './patterns.ts';

/** What the chart's templates must know to refuse what a part would: no JSON schema compares quantities with their units. */

const PARTS: readonly Part[] = ['agent', 'origin', 'tracker'];

/** Factors by unit; without one, bytes or the 0 of a duration. */
const UNITS = {
  bytes: { '': 1, ...BYTE_UNITS },
  'bytes/s': { '': 1, ...BYTE_UNITS },
  ms: { '': 1, ...TIME_UNITS },
  kubernetes: QUANTITY_UNITS,
};

/** `files/knobs.json`. */
export function knobFacts(): string {
  const parts = PARTS.map((part) => [
    part,
    { quantities: quantitiesOf(part), texts: textsOf(part), variables: variablesOf(part) },
  ]);
  const facts = { units: UNITS, stopSeconds: STOP_GRACE_MS / 1000, parts: Object.fromEntries(parts) };
  return `${JSON.stringify(facts, undefined, 2)}\n`;
}

/** Bounds of the knobs that are written with a unit, by knob. */
function quantitiesOf(part: Part): object {
  const knobs = chosenKnobs(part).filter(({ schema }) => schema.unit !== undefined);
  return Object.fromEntries(knobs.map(({ knob, schema }) => [knob, bounds(schema)]));
}

function bounds(schema: KnobSchema): object {
  const { unit, minimum, maximum, default: value } = schema;
  const chosen = typeof value === 'number' ? formatQuantity(value, unit) : '';
  return { unit, minimum, maximum, default: chosen, allowed: allowedFor(schema) };
}

/** Defaults of the knobs that are texts, by knob. */
function textsOf(part: Part): object {
  const texts = chosenKnobs(part).filter(({ schema }) => typeof schema.default === 'string');
  return Object.fromEntries(texts.map(({ knob, schema }) => [knob, schema.default]));
}

/** The knob that each variable sets. */
function variablesOf(part: Part): object {
  return Object.fromEntries(chosenKnobs(part).map(({ env, knob }) => [env, knob]));
}
