/** Which repositories' blobs stock clients may have: names such as `ghcr.io/org/app`, `*` for any run of characters. */
export class StrangerRepositories {
  readonly #patterns: readonly RegExp[];

  constructor(globs: readonly string[]) {
    this.#patterns = globs.map((glob) => new RegExp(`^${glob.split('*').map(escaped).join('.*')}$`, 'u'));
  }

  /** @param repositories known to hold a blob, as "registry/repository": one that is admitted will do */
  admit(repositories: readonly string[]): boolean {
    return repositories.some((name) => this.#patterns.some((pattern) => pattern.test(name)));
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[^a-z0-9_/]/gu, String.raw`\$&`);
}
