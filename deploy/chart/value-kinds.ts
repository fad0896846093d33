import { Type } from 'typebox';
import type { TObject, TProperties, TSchema } from 'typebox';

/** Kinds of values that the chart has, each with its default and what it does. */

export const group = (description: string, properties: TProperties): TObject =>
  Type.Object(properties, { description, additionalProperties: false });
export const text = (value: string, description: string, pattern: string, options: object = {}): TSchema =>
  Type.String({ default: value, description, pattern: `^(?:${pattern})$`, ...options });
/** Empty by default. */
export const optional = (description: string, pattern: string, options: object = {}): TSchema =>
  text('', description, `|${pattern}`, options);
export const flag = (value: boolean, description: string): TSchema =>
  Type.Boolean({ default: value, description });
export const count = (
  value: number,
  [minimum, maximum]: readonly [number, number],
  description: string,
): TSchema => Type.Integer({ default: value, minimum, maximum, description });
/** At most as many as a list of knobs may have. */
export const texts = (description: string, pattern: string, maxItems = 256): TSchema =>
  Type.Array(Type.String({ pattern: `^(?:${pattern})$`, maxLength: 1024 }), {
    default: [],
    maxItems,
    description,
  });
export const port = (value: number, description: string): TSchema =>
  count(value, [1024, 29_999], description);
