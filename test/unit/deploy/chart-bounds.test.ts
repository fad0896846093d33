import { describe, expect, test } from 'vitest';

import { formatQuantity } from '#service/config/leaves.ts';
import type { Leaf } from '#service/config/leaves.ts';
import type { Part } from '#service/config/load.ts';
import { readValue } from '#service/config/values.ts';

import { chosenKnobs } from '../../../deploy/chart/knob-values.ts';
import { HELM, template } from './helm.ts';

/** What one knob is given, and what its part makes of it. */
interface Trial {
  readonly part: Part;
  readonly leaf: Leaf;
  readonly written: string | number;
  /** In the part's words; empty where it takes the value. */
  readonly refusal: string;
}

const PARTS: readonly Part[] = ['agent', 'origin', 'tracker'];
const SOURCE = 'values';

/** Every knob with bounds, each given a number near one of them. */
function trials(numberFor: (bounds: { minimum: number; maximum: number }) => number): Trial[] {
  return PARTS.flatMap((part) =>
    chosenKnobs(part).flatMap((leaf) => {
      const { minimum, maximum, unit } = leaf.schema;
      if (minimum === undefined || maximum === undefined) return [];
      const number = numberFor({ minimum, maximum });
      // Nothing below nothing can be written with a unit.
      if (unit !== undefined && number < 0) return [];
      const written = unit === undefined ? number : formatQuantity(number, unit);
      return [{ part, leaf, written, refusal: refusalOf(leaf, written) }];
    }),
  );
}

function refusalOf(leaf: Leaf, written: unknown): string {
  try {
    readValue(leaf, written, false, SOURCE);
    return '';
  } catch (error) {
    return String(error);
  }
}

/** All at once: what Helm says, empty where it renders. */
async function helmOf(given: readonly Trial[]): Promise<string> {
  const flags = given.flatMap(({ part, leaf, written }) => [
    '--set-json',
    `${part}.config.${leaf.knob}=${JSON.stringify(written)}`,
  ]);
  try {
    await template([...flags, '--set', 'origin.persistence.enabled=false']);
    return '';
  } catch (error) {
    return String(error);
  }
}

describe.skipIf(HELM === undefined)('knobs of the parts in the chart (needs helm)', () => {
  test.each([
    ['least', ({ minimum }: { minimum: number }) => minimum],
    ['most', ({ maximum }: { maximum: number }) => maximum],
  ])('each is taken at the %s that its part takes', async (_which, numberFor) => {
    const given = trials(numberFor);
    expect(given.length).toBeGreaterThan(20);
    expect(given.filter(({ refusal }) => refusal !== '')).toEqual([]);
    expect(await helmOf(given)).toBe('');
  });

  test.each([
    ['less', ({ minimum }: { minimum: number }) => minimum - 1],
    ['more', ({ maximum }: { maximum: number }) => maximum + 1],
  ])('each is refused with %s, quantities in the very words of the part', async (_which, numberFor) => {
    const given = trials(numberFor);
    expect(given.filter(({ refusal }) => refusal === '')).toEqual([]);
    const [quantities, counts] = [true, false].map((withUnit) =>
      given.filter(({ leaf }) => (leaf.schema.unit !== undefined) === withUnit),
    );
    const aboutQuantities = await helmOf(quantities!);
    for (const { part, leaf, refusal } of quantities!)
      expect(aboutQuantities).toContain(
        refusal
          .replace('ConfigError: ', '\n')
          .replace(leaf.knob, `${part}.config.${leaf.knob}`)
          .replace(` (${SOURCE})`, ''),
      );
    const aboutCounts = await helmOf(counts!);
    for (const { part, leaf } of counts!)
      expect(aboutCounts).toContain(`at '/${part}/config/${leaf.knob.replaceAll('.', '/')}': m`);
  });

  test.each(['1048575.4B', '1048575.5B', '0.999999MiB', '1023.999999KiB', '1.048576MB', ' 1MiB '])(
    'part and chart read %j alike',
    async (written) => {
      const leaf = chosenKnobs('agent').find(({ knob }) => knob === 'store.quota')!;
      const refusal = refusalOf(leaf, written);
      expect((await helmOf([{ part: 'agent', leaf, written, refusal }])) === '').toBe(refusal === '');
    },
  );
});
