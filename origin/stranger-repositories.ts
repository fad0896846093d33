import type { Facts } from '#swarm/store/facts.ts';

/** Which repositories' blobs stock clients may have: names such as `ghcr.io/org/app`, `*` for any run of characters. */
export class StrangerRepositories {
  readonly #patterns: readonly RegExp[];

  constructor(globs: readonly string[]) {
    this.#patterns = globs.map(
      (glob) =>
        new RegExp(
          `^${glob
            .split('*')
            .map((text) => RegExp.escape(text))
            .join('.*')}$`,
          'u',
        ),
    );
  }

  /**
   * @param facts of a blob: one admitted repository will do. Its registry must have delivered or proved the bytes: any
   * registry may say of its own repositories that they hold a digest.
   */
  admit({ registries, repositories }: Pick<Facts, 'registries' | 'repositories'>): boolean {
    return repositories.some(
      (name) =>
        registries.includes(name.slice(0, name.indexOf('/'))) &&
        this.#patterns.some((pattern) => pattern.test(name)),
    );
  }
}
