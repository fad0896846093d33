/** The text is no quantity; the message says what is allowed. */
export class UnitError extends Error {
  override readonly name = 'UnitError';
}

/** Bytes of each unit. */
export const BYTE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
/** Milliseconds of each unit. */
export const TIME_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 86_400e3,
};

/** How quantities are written, as regular expressions that RE2 has, too, without anchors. A duration's takes the empty text, too. */
export const SIZE_PATTERN = `(\\d{1,16}(?:\\.\\d{1,6})?) ?(${Object.keys(BYTE_UNITS).join('|')})?`;
export const RATE_PATTERN = `${SIZE_PATTERN}/s`;
export const DURATION_PATTERN =
  '(?:(\\d{1,9})d)?(?:(\\d{1,9})h)?(?:(\\d{1,9})m)?(?:(\\d{1,9}(?:\\.\\d{1,3})?)s)?(?:(\\d{1,12})ms)?|0';

export const SIZE_EXAMPLES = 'a size such as 512MiB, 50GiB or 20GB';
export const RATE_EXAMPLES = 'a rate such as 20MB/s or 512KiB/s';
export const DURATION_EXAMPLES = 'a duration such as 500ms, 30s, 5m, 1h30m or 7d';

const SIZE = new RegExp(`^${SIZE_PATTERN}$`);
const RATE = new RegExp(`^${RATE_PATTERN}$`);
const DURATION = new RegExp(`^(?:${DURATION_PATTERN})$`);

/**
 * Bytes of a size: a number and one of B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024); without a unit, bytes.
 * @throws UnitError
 */
export function parseSize(text: string): number {
  return parseBytes(text, SIZE, SIZE_EXAMPLES);
}

/**
 * Bytes per second of a rate: a size and `/s`.
 * @throws UnitError
 */
export function parseRate(text: string): number {
  return parseBytes(text, RATE, RATE_EXAMPLES);
}

function parseBytes(text: string, form: RegExp, examples: string): number {
  const [, count, unit = 'B'] = form.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(count) * (BYTE_UNITS[unit] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) throw new UnitError(`${examples} is allowed`);
  return bytes;
}

/**
 * Milliseconds of a duration: numbers with ms, s, m, h or d, largest first; a bare 0 is allowed, another bare number is not.
 * @throws UnitError
 */
export function parseDuration(text: string): number {
  const trimmed = text.trim();
  const match = DURATION.exec(trimmed);
  if (!match || trimmed === '') throw new UnitError(`${DURATION_EXAMPLES} is allowed`);
  const [, d, h, m, s, ms] = match;
  const parts = { d, h, m, s, ms };
  return Math.round(
    Object.entries(parts).reduce(
      (sum, [unit, count]) => sum + Number(count ?? 0) * (TIME_UNITS[unit] ?? 0),
      0,
    ),
  );
}

/** The shortest text that {@link parseSize} reads as exactly these bytes. */
export function formatSize(bytes: number): string {
  const whole = Object.entries(BYTE_UNITS)
    .filter(([unit, factor]) => unit !== 'KB' && bytes >= factor && bytes % factor === 0)
    .map(([unit, factor]) => `${bytes / factor}${unit}`);
  return whole.toSorted((a, b) => a.length - b.length)[0] ?? `${bytes}B`;
}

/** The shortest text that {@link parseRate} reads as exactly this rate. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

/** A text that {@link parseDuration} reads as exactly these milliseconds, in the largest unit of which there is more than one. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0';
  const [unit, factor] = Object.entries(TIME_UNITS).findLast(([, each]) => ms % each === 0 && ms > each) ?? [
    'ms',
    1,
  ];
  return `${ms / factor}${unit}`;
}
