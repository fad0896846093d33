import { registerHooks } from 'node:module';

/** Where policy constants live; nothing else is ever changed. */
const POLICY =
  /\/(swarm\/core|swarm\/session\/defaults|swarm\/announce\/constants|swarm\/wire\/defaults)[^/]*(\/[^/]+)?\.ts$/;

/**
 * Has policy constants of the real modules read as other values, for as long as this process lives: modules that are
 * imported afterwards see them. So a variation needs no copy of a decision.
 * @param changes constant's name to the expression it is to have
 * @returns tells which of them were met: a name that no module declares is a mistake
 */
export function varyPolicy(changes: ReadonlyMap<string, string>): () => string[] {
  const met = new Set<string>();
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      const bytes = loaded.source;
      if (!POLICY.test(url) || bytes === undefined) return loaded;
      let source = typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes);
      for (const [name, value] of changes) {
        source = source.replace(new RegExp(`(const ${name}(?:: \\w+)? = )[^;]+;`), (_, declared: string) => {
          met.add(name);
          return `${declared}${value};`;
        });
      }
      return { ...loaded, source };
    },
  });
  return () => [...changes.keys()].filter((name) => !met.has(name));
}
