import { quote } from './redact.ts';

/** Bytes `start` to `end`, both inclusive, counted from 0. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A Content-Range that breaks the grammar or contradicts itself. */
export class ContentRangeError extends Error {
  override readonly name = 'ContentRangeError';
}

/** A Content-Range header: the bytes that follow and the whole's size where it is told, or the size alone (in a 416). */
export type ContentRange =
  | { readonly kind: 'range'; readonly start: number; readonly end: number; readonly size?: number }
  | { readonly kind: 'unsatisfied'; readonly size: number };

const HEADER_LIMIT = 200;
const RANGE = /^bytes=[ \t]*(?:(?<first>\d+)-(?<last>\d*)|-(?<suffix>\d+))[ \t]*$/iu;
const CONTENT_RANGE =
  /^bytes[ \t]+(?:(?<first>\d{1,16})-(?<last>\d{1,16})\/(?<size>\d{1,16}|\*)|\*\/(?<whole>\d{1,16}))$/iu;

/**
 * Reads a Range header (RFC 9110, 14.2) against content of `size` bytes. Several ranges, another unit and a
 * malformed header give the whole, as the RFC lets a server choose; a last position beyond the end is cut.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'whole' | 'unsatisfiable' {
  const parts = header === undefined || header.length > HEADER_LIMIT ? undefined : RANGE.exec(header)?.groups;
  if (parts === undefined) return 'whole';
  if (parts['suffix'] !== undefined) return suffixRange(Number(parts['suffix']), size);
  // Number() of more digits than it can hold is only larger, which the comparisons below take rightly.
  const start = Number(parts['first']);
  const last = parts['last'] === '' ? Infinity : Number(parts['last']);
  if (last < start) return 'whole';
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(last, size - 1) };
}

function suffixRange(length: number, size: number): ByteRange | 'unsatisfiable' {
  return length === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size - 1 };
}

/** A Range header for bytes from `start`, to `end` inclusive where it is given. */
export function formatRange(start: number, end?: number): string {
  return `bytes=${start}-${end ?? ''}`;
}

/**
 * Reads a Content-Range header (RFC 9110, 14.4), unit bytes only.
 * @throws ContentRangeError
 */
export function parseContentRange(header: string): ContentRange {
  const parts = header.length > HEADER_LIMIT ? undefined : CONTENT_RANGE.exec(header)?.groups;
  if (parts === undefined) throw new ContentRangeError(`Content-Range is not a byte range: ${quote(header)}`);
  if (parts['whole'] !== undefined) return { kind: 'unsatisfied', size: safe(parts['whole'], header) };
  const start = safe(parts['first'], header);
  const end = safe(parts['last'], header);
  const size = parts['size'] === '*' ? undefined : safe(parts['size'], header);
  if (end < start || (size !== undefined && end >= size)) {
    throw new ContentRangeError(`Content-Range contradicts itself: ${quote(header)}`);
  }
  return size === undefined ? { kind: 'range', start, end } : { kind: 'range', start, end, size };
}

export function formatContentRange(range: ContentRange): string {
  if (range.kind === 'unsatisfied') return `bytes */${range.size}`;
  return `bytes ${range.start}-${range.end}/${range.size ?? '*'}`;
}

function safe(digits: string | undefined, header: string): number {
  const value = Number(digits);
  if (Number.isSafeInteger(value)) return value;
  throw new ContentRangeError(`Content-Range has a number beyond 2^53: ${quote(header)}`);
}
