import { BANDWIDTH_BOUNDS } from './common.ts';
import { formatRate, parseRate } from './units.ts';

/** Of every limit of bandwidth, configured or set at run time. In bytes per second. */
export const LEAST_RATE = parseRate(BANDWIDTH_BOUNDS.minimum);
export const MOST_RATE = parseRate(BANDWIDTH_BOUNDS.maximum);

/** What may be set, in words. */
export const ALLOWED_RATES = `a rate such as 20MB/s, from ${BANDWIDTH_BOUNDS.minimum} to ${BANDWIDTH_BOUNDS.maximum}, or none`;

/** A limit in bytes per second, null where there is to be none. */
export type ChosenRate = number | null | undefined;

/** What is wrong with the limits that somebody wants to set at run time; undefined: nothing. */
export function faultOfRates(rates: Readonly<Record<string, ChosenRate>>): string | undefined {
  for (const [name, rate] of Object.entries(rates)) {
    if (rate === null || rate === undefined || (rate >= LEAST_RATE && rate <= MOST_RATE)) continue;
    return `${name} is ${formatRate(rate)}: allowed is ${ALLOWED_RATES}`;
  }
  return undefined;
}
