import { OciError } from './oci-error.ts';

/** Which registries may be asked: `deny` counts before `allow`; an empty `allow` is every registry. */
export class UpstreamPolicy {
  readonly #allow: readonly string[];
  readonly #deny: readonly string[];

  /** @param lists registries, `host`, `host:port` or `*.domain`; without a port, any port */
  constructor(lists: { readonly allow: readonly string[]; readonly deny: readonly string[] }) {
    this.#allow = lists.allow.map((glob) => glob.toLowerCase());
    this.#deny = lists.deny.map((glob) => glob.toLowerCase());
  }

  /** @throws OciError DENIED */
  check(registry: string): void {
    if (!this.allows(registry))
      throw new OciError('DENIED', `${registry} is not asked: the operator does not allow it`);
  }

  allows(registry: string): boolean {
    const isAllowed = this.#allow.length === 0 || this.#allow.some((glob) => matches(glob, registry));
    return isAllowed && !this.#deny.some((glob) => matches(glob, registry));
  }
}

function matches(glob: string, registry: string): boolean {
  const host = registry.replace(/:\d+$/u, '');
  if (!glob.startsWith('*.')) return glob === registry || glob === host;
  const domain = glob.slice(1);
  return registry.endsWith(domain) || host.endsWith(domain);
}
