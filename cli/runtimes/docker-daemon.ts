import { isJsonObject } from '#registry/json-object.ts';
import { describeError } from '#registry/redact.ts';

import { RuntimeConfigError } from './edit.ts';
import type { Edit } from './edit.ts';

const KEY = 'registry-mirrors';

/** Our part of docker's daemon.json: the agent as first of `registry-mirrors`, which dockerd asks for docker.io alone. */
export function daemonEdit(path: string, agent: URL): Edit {
  const mirror = agent.origin;
  return {
    insert(text) {
      const config = text === undefined ? {} : parseDaemon(text, path);
      const mirrors = mirrorsOf(config, path);
      if (text !== undefined && mirrors.some((url) => isSame(url, mirror))) return text;
      return format({ ...config, [KEY]: [mirror, ...mirrors] }, text);
    },
    strip(text) {
      const config = parseDaemon(text, path);
      const mirrors = mirrorsOf(config, path);
      const rest = mirrors.filter((url) => !isSame(url, mirror));
      if (rest.length === mirrors.length) return text;
      const { [KEY]: _ours, ...others } = config;
      const next = rest.length > 0 ? { ...config, [KEY]: rest } : others;
      return Object.keys(next).length === 0 ? undefined : format(next, text);
    },
  };
}

/** dockerd itself adds a slash to a mirror's URL. */
function isSame(url: string, mirror: string): boolean {
  return url.replace(/\/+$/, '') === mirror;
}

function parseDaemon(text: string, path: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RuntimeConfigError(`${path} is not valid JSON (${describeError(cause)}); nothing was changed`, {
      cause,
    });
  }
  if (!isJsonObject(value)) throw new RuntimeConfigError(`${path} is not a JSON object; nothing was changed`);
  return value;
}

function mirrorsOf(config: Record<string, unknown>, path: string): string[] {
  const mirrors = config[KEY] ?? [];
  if (Array.isArray(mirrors) && mirrors.every((url) => typeof url === 'string')) return mirrors;
  throw new RuntimeConfigError(`"${KEY}" in ${path} is not a list of URLs; nothing was changed`);
}

/** Written with the indentation of the text that was there. */
function format(config: Record<string, unknown>, before: string | undefined): string {
  const indent = /^[ \t]+(?=")/m.exec(before ?? '')?.[0] ?? '  ';
  return `${JSON.stringify(config, undefined, indent)}\n`;
}
