/** Bytes for people: `12.3 MB`, powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const scaled = bytes / 1000 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(1)} ${units[power]}`;
}

/** A limit of bytes per second: `20.0 MB/s`, or `none`. */
export function formatLimit(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? 'none' : `${formatBytes(bytesPerSecond)}/s`;
}

/** `1 blob`, `2 blobs`. */
export function formatCount(count: number, singular: string): string {
  return `${count} ${singular}${count === 1 ? '' : 's'}`;
}
