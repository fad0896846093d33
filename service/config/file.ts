import { readFileSync, statSync } from 'node:fs';
import { type Document, isAlias, parseDocument, visit } from 'yaml';

import { describeError } from '#registry/redact.ts';
import { ConfigError, show } from './config-error.ts';
import type { Leaf } from './leaves.ts';

const MAX_FILE_BYTES = 1024 * 1024;

/**
 * The knobs that a YAML file sets, by name.
 * @throws ConfigError for a file that cannot be read, is not YAML, or has a key that is no knob of this part.
 */
export function readKnobs(path: string, leaves: readonly Leaf[]): Map<string, unknown> {
  const known = new Set(leaves.map((leaf) => leaf.knob));
  const groups = new Set(leaves.flatMap((leaf) => groupsOf(leaf.knob)));
  const found = new Map<string, unknown>();
  const walk = (value: unknown, prefix: string): void => {
    if (!isMap(value))
      throw new ConfigError(
        `${prefix.slice(0, -1) || 'the whole'} is ${show(value)} (${path}): a map of knobs is allowed`,
      );
    for (const [key, inner] of Object.entries(value)) {
      const knob = prefix + key;
      if (known.has(knob)) found.set(knob, inner);
      else if (!groups.has(knob)) throw unknownKey(knob, prefix, path, leaves);
      else if (inner !== null) walk(inner, `${knob}.`);
    }
  };
  const tree = readYaml(path);
  if (tree !== null) walk(tree, '');
  return found;
}

function groupsOf(knob: string): string[] {
  const names = knob.split('.');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('.'));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknownKey(knob: string, prefix: string, path: string, leaves: readonly Leaf[]): ConfigError {
  const siblings = leaves
    .filter((leaf) => leaf.knob.startsWith(prefix))
    .map((leaf) => leaf.knob.slice(prefix.length).split('.')[0] ?? '');
  const allowed = [...new Set(siblings)].join(', ');
  return new ConfigError(
    `${knob} (${path}) is not a knob: ${prefix ? `under ${prefix.slice(0, -1)}, ` : ''}${allowed} are allowed`,
  );
}

function readYaml(path: string): unknown {
  const document = parseDocument(readText(path), { uniqueKeys: true, prettyErrors: true, logLevel: 'error' });
  const [error] = document.errors;
  if (error)
    throw new ConfigError(`${path} is not valid YAML: ${sentenceOf(error.message)}`, { cause: error });
  try {
    refuseCycles(document);
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (cause) {
    throw new ConfigError(`${path} cannot be taken: ${describeError(cause)}`, { cause });
  }
}

/** YAML lets a node contain itself; nothing that goes through a configuration expects that. */
function refuseCycles(document: Document): void {
  // An alias means the last node before it that has this anchor.
  const anchored = new Map<string, unknown>();
  visit(document, {
    Node(_key, node, above) {
      if (isAlias(node)) {
        if (above.some((outer) => outer === anchored.get(node.source)))
          throw new Error(`*${node.source} stands within &${node.source} itself`);
      } else if (node.anchor !== undefined) anchored.set(node.anchor, node);
    },
  });
}

/** The first line of what the parser says, without the colon in front of its drawing. */
function sentenceOf(message: string): string {
  return message.split('\n', 1)[0]!.replace(/:$/u, '');
}

function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, at most ${MAX_FILE_BYTES} are allowed`);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(`cannot read the configuration ${path}: ${describeError(cause)}`, { cause });
  }
}
