import { parse } from 'smol-toml';
import type { TomlTable } from 'smol-toml';

import { describeError } from '#registry/redact.ts';

import { RuntimeConfigError } from './edit.ts';

/** @throws RuntimeConfigError */
export function parseToml(text: string, path: string): TomlTable {
  try {
    return parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    const [line] = describeError(cause).split('\n');
    throw new RuntimeConfigError(`${path} is not valid TOML (${line}); nothing was changed`, { cause });
  }
}

/** The table under a path of keys; undefined where there is none. */
export function tableAt(table: TomlTable, keys: readonly string[]): TomlTable | undefined {
  let at: TomlTable = table;
  for (const key of keys) {
    const next = at[key];
    if (!isTable(next)) return undefined;
    at = next;
  }
  return at;
}

export function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A basic string with its quotes. */
export function quoteToml(text: string): string {
  return JSON.stringify(text);
}

/**
 * Where the first table of a TOML text begins; its end where there is none. A line that only looks like a
 * header, inside an array or a string, does not count: the text before it would not be whole.
 */
export function firstTableOffset(text: string): number {
  for (const { index } of text.matchAll(/^[ \t]*\[/gm)) {
    if (isWhole(text.slice(0, index))) return index;
  }
  return text.length;
}

function isWhole(text: string): boolean {
  try {
    parse(text.replace(/^\uFEFF/, ''));
    return true;
  } catch {
    return false;
  }
}
