import { open, readFile, rename, rm } from 'node:fs/promises';
import type { Upstream } from '#registry/upstream.ts';
import type { Target } from '#registry/upstream-answer.ts';
import { LruMap } from '#service/lru-map.ts';
import { isMissing } from '#swarm/store/errors.ts';
import { type Caller, fullName } from './caller.ts';
import {
  ANONYMOUS_CHECK_MS,
  ANONYMOUS_CHECK_TIMEOUT_MS,
  ANONYMOUS_CHECKS,
  ANONYMOUS_QUEUE,
  ANONYMOUS_REFRESH_MS,
  ANONYMOUS_REFUSED_MS,
  ANONYMOUS_REPOSITORIES,
  ANONYMOUS_SAVE_MS,
  NOT_ANONYMOUS_CHECK_MS,
} from './defaults.ts';
import type { OriginEvents } from './events.ts';

export interface AnonymousParts {
  readonly upstream: Pick<Upstream, 'head'>;
  readonly events: Pick<OriginEvents, 'failed'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

interface Standing {
  /** When the registry last served the repository to nobody in particular; undefined: it does not. Unix seconds. */
  readonly since: number | undefined;
  /** When that was found. Milliseconds since 1970. */
  readonly checkedAt: number;
}

/**
 * Repositories that their registry serves to anyone: those stay readable while the registry is down. Found out in
 * the background, by an exchange without credentials, once per repository and half hour, sooner where it refuses somebody; kept over restarts.
 */
export class AnonymousRepositories implements AsyncDisposable {
  readonly #parts: AnonymousParts;
  readonly #file: string;
  readonly #known = new LruMap<string, Standing>(ANONYMOUS_REPOSITORIES);
  readonly #waiting = new Map<string, Target>();
  readonly #checks = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();

  private constructor(parts: AnonymousParts, file: string) {
    this.#parts = parts;
    this.#file = file;
  }

  /** Takes up what an earlier run has found; a damaged file counts as none. */
  static async open(parts: AnonymousParts, file: string): Promise<AnonymousRepositories> {
    const repositories = new AnonymousRepositories(parts, file);
    try {
      for (const [name, since] of parseSaved(await readFile(file, 'utf8')))
        repositories.#known.set(name, { since, checkedAt: since * 1000 });
    } catch (error) {
      if (!isMissing(error)) parts.events.failed('what was known of anonymous repositories is lost', error);
    }
    return repositories;
  }

  /** Unix seconds. */
  since(repository: { readonly registry: string; readonly repository: string }): number | undefined {
    return this.#known.get(fullName(repository))?.since;
  }

  /**
   * The registry has just served something to a caller.
   * @param own in this caller's name
   */
  served(caller: Caller, resource: Pick<Target, 'kind' | 'reference'>, own: boolean): void {
    const name = fullName(caller);
    const known = this.#known.get(name);
    const age = known === undefined ? Infinity : this.#parts.now() - known.checkedAt;
    if (own && caller.authorization === undefined) {
      if (known?.since === undefined || age > ANONYMOUS_REFRESH_MS) this.#found(name, true);
      return;
    }
    if (age < (known?.since === undefined ? NOT_ANONYMOUS_CHECK_MS : ANONYMOUS_CHECK_MS)) return;
    this.#askFor(caller, resource);
  }

  /** The registry has just refused something to a caller: it may not serve anyone any more. */
  refused(caller: Caller, resource: Pick<Target, 'kind' | 'reference'>): void {
    const known = this.#known.get(fullName(caller));
    if (caller.authorization !== undefined || known?.since === undefined) return;
    if (this.#parts.now() - known.checkedAt < ANONYMOUS_REFUSED_MS) return;
    this.#askFor(caller, resource);
  }

  #askFor(caller: Caller, resource: Pick<Target, 'kind' | 'reference'>): void {
    const name = fullName(caller);
    if (this.#waiting.has(name) || this.#checks.has(name) || this.#waiting.size >= ANONYMOUS_QUEUE) return;
    const { registry, repository } = caller;
    this.#waiting.set(name, { registry, repository, ...resource });
    this.#checkNext();
  }

  /** Writes what is not written yet. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the origin stops'));
    this.#waiting.clear();
    await Promise.allSettled(this.#checks.values());
    if (this.#saveTimer) this.#save();
    await this.#saving;
  }

  #checkNext(): void {
    if (this.#checks.size >= ANONYMOUS_CHECKS || this.#stop.signal.aborted) return;
    const next = this.#waiting.entries().next();
    if (next.done === true) return;
    const [name, target] = next.value;
    this.#waiting.delete(name);
    const check = this.#check(name, target).finally(() => {
      this.#checks.delete(name);
      this.#checkNext();
    });
    this.#checks.set(name, check);
  }

  async #check(name: string, target: Target): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANONYMOUS_CHECK_TIMEOUT_MS)]);
    try {
      const result = await this.#parts.upstream.head(target, { kind: 'own' }, signal, { attempts: 1 });
      // While the registry is down nothing is found out; what was known stays.
      if (result.ok || result.kind === 'refused') this.#found(name, result.ok);
    } catch (error) {
      if (!signal.aborted)
        this.#parts.events.failed('a repository could not be asked for anonymously', error);
    }
  }

  #found(name: string, isAnonymous: boolean): void {
    const checkedAt = this.#parts.now();
    this.#known.set(name, { since: isAnonymous ? Math.floor(checkedAt / 1000) : undefined, checkedAt });
    this.#saveTimer ??= setTimeout(() => this.#save(), ANONYMOUS_SAVE_MS).unref();
  }

  #save(): void {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    const saved = [...this.#known.entries()].flatMap(([name, { since }]) =>
      since === undefined ? [] : [[name, since] as const],
    );
    this.#saving = this.#saving
      .then(() => writeWhole(this.#file, JSON.stringify(Object.fromEntries(saved))))
      .catch((error: unknown) =>
        this.#parts.events.failed('anonymous repositories could not be saved', error),
      );
  }
}

/** A file that is there whole or not at all. */
async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** @throws SyntaxError, TypeError */
function parseSaved(text: string): [string, number][] {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('it is no object');
  return Object.entries(value)
    .filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1]))
    .slice(0, ANONYMOUS_REPOSITORIES);
}
