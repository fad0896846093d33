import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const PAGE = readFileSync(join(ROOT, 'docs/policy.md'), 'utf8');

/** A number by itself or worked out of others. */
const DECLARED = /^(?:export )?const ([A-Z][A-Z0-9_]*)(?:: \w+)? = ([\dA-Z][\dA-Z_ .*/-]*);$/gm;
const UNITS = new Set(['KIB', 'MIB', 'GIB']);

interface Constant {
  readonly name: string;
  /** As it is written in the source. */
  readonly value: string;
}

/** All of `swarm/core`, and what else of the project's the simulator runs by. */
function constants(): Constant[] {
  const core = readdirSync(join(ROOT, 'swarm/core')).flatMap((file) => declaredIn(`swarm/core/${file}`));
  const simulator = readdirSync(join(ROOT, 'sim')).filter((file) => file.endsWith('.ts'));
  return [...core, ...simulator.flatMap((file) => importedBy(`sim/${file}`))];
}

function declaredIn(path: string): Constant[] {
  return [...readFileSync(join(ROOT, path), 'utf8').matchAll(DECLARED)]
    .map(([, name, value]) => ({ name: name!, value: value! }))
    .filter(({ name }) => !UNITS.has(name));
}

function importedBy(path: string): Constant[] {
  const imports = readFileSync(join(ROOT, path), 'utf8').matchAll(
    /import \{([^}]+)\} from '#((?!swarm\/core)[^']+)'/g,
  );
  return [...imports].flatMap(([, names, from]) => {
    const imported = new Set(names!.split(',').map((name) => name.trim()));
    return declaredIn(from!).filter(({ name }) => imported.has(name));
  });
}

/** Rows of the page's tables: name and value, both in code quotes, and the rest. */
function rows(): Map<string, { values: string[]; why: string }> {
  const found = new Map<string, { values: string[]; why: string }>();
  for (const [, name, value, why] of PAGE.matchAll(/^\| `([^`]+)` +\| `([^`]+)` +\| (.+?) *\|$/gm)) {
    const row = found.get(name!) ?? { values: [], why: why! };
    row.values.push(value!);
    found.set(name!, row);
  }
  return found;
}

describe('docs/policy.md', () => {
  test.each(constants())('has a line for $name and its value $value', ({ name, value }) => {
    const row = rows().get(name);
    expect(row?.values).toContain(value);
    expect(row!.why.length).toBeGreaterThan(10);
  });

  test('has no line for what is gone', () => {
    const names = new Set(constants().map(({ name }) => name));
    const others = new Set(['peer.maxPeersPerSwarm', 'pieceLength']);
    expect([...rows().keys()].filter((name) => !names.has(name) && !others.has(name))).toEqual([]);
  });

  test('says of every scenario that it names how to run it', () => {
    const commands = [...PAGE.matchAll(/npm run sim -- (\S+)/g)].map(([, scenario]) => scenario);
    expect(commands.length).toBeGreaterThan(0);
    const known = readFileSync(join(ROOT, 'sim/README.md'), 'utf8');
    for (const scenario of commands) expect(known).toContain(`\`${scenario}\``);
  });
});
