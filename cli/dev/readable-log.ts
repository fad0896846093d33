import { isJsonObject } from '#registry/json-object.ts';

interface Output {
  write(text: string): unknown;
}

/**
 * Log lines of parts, one to each `write`, for people: `agent-1 | 12:30:01 warn pull failed: <reason>  digest=… status=503`.
 * Stacks are left out; what is no log line is passed on as it is.
 */
export function readableLog(output: Output): Output {
  return { write: (text) => output.write(readable(text)) };
}

function readable(text: string): string {
  const [, part = '', line = ''] = /^(\S+ \| )(\{.*\})\n$/u.exec(text) ?? [];
  const record = parseRecord(line);
  if (record === undefined) return text;
  const { time, level, msg, name: _name, err, reason, ...rest } = record;
  const why = reason ?? (isJsonObject(err) ? err['message'] : undefined);
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${show(value)}`);
  const head = `${show(time).slice(11, 19)} ${show(level)} ${show(msg)}${why === undefined ? '' : `: ${show(why)}`}`;
  return `${part}${[head, ...(fields.length > 0 ? [fields.join(' ')] : [])].join('  ')}\n`;
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isJsonObject(value) && typeof value['msg'] === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
