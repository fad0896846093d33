import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger } from '#service/logger.ts';
import { loadSecurity, type Security } from '#service/identity.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');

export type Subject = 'member' | 'renewed' | 'outsider' | 'impostor';

/** How soon a changed file is seen. */
const EVERY_MS = 20;

/** Files of one part's identity that change while it runs, and what it makes of them. */
export class IdentityFiles implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;
  readonly #life = new AbortController();
  readonly lines: string[] = [];

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  static async create(): Promise<IdentityFiles> {
    return new IdentityFiles(await temporaryDirectory('identity'));
  }

  path(name: string): string {
    return this.#directory.join(name);
  }

  /** Puts a certificate of the fixtures where the part's own is. */
  async put(subject: Subject, ca: 'ca' | 'other-ca' = 'ca'): Promise<void> {
    await copyFile(join(FIXTURES, `${subject}-key.pem`), this.path('tls.key'));
    await copyFile(join(FIXTURES, `${subject}.pem`), this.path('tls.crt'));
    await copyFile(join(FIXTURES, `${ca}.pem`), this.path('ca.crt'));
  }

  /** `name` is what members' certificates must name. */
  mtls(name = 'member.shoal.internal'): Security {
    const files = {
      certFile: this.path('tls.crt'),
      keyFile: this.path('tls.key'),
      caFile: this.path('ca.crt'),
    };
    return loadSecurity({ security: 'mtls', mtls: { ...files, name } }, this.#follow());
  }

  clusterKey(): Security {
    return loadSecurity(
      { security: 'cluster-key', clusterKeyFile: this.path('cluster.key') },
      this.#follow(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#directory[Symbol.asyncDispose]();
  }

  #follow(): NonNullable<Parameters<typeof loadSecurity>[1]> {
    const destination = { write: (line: string) => void this.lines.push(line) };
    return { signal: this.#life.signal, logger: createLogger('test', { destination }), everyMs: EVERY_MS };
  }
}
