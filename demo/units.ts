/** Decimal units, as network rates have them: `999 B`, `1.0 kB`, `152.3 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  // 999.95 would be shown as 1000.0.
  while (value >= (unit === 0 ? 1000 : 999.95) && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(Math.round(value)) : value.toFixed(1)} ${units[unit]}`;
}

export function formatSeconds(seconds: number): string {
  if (Number.isNaN(seconds)) return '–';
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** Between 0 and 100, whole; a part that is not the whole is never 100. */
export function formatPercent(part: number, whole: number): string {
  if (whole <= 0) return '0 %';
  const percent = Math.min(100, (part / whole) * 100);
  return `${part < whole ? Math.floor(percent) : 100} %`;
}

/** The smallest value that at least this share (0 to 1) of all values do not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
