/** Bytes for people: `12.3 MB`, powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const scaled = bytes / 1000 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(1)} ${units[power]}`;
}
