import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { sendContent, sendError, type Exchange } from './exchange.ts';
import type { Content } from './content.ts';

const LIFETIME_MS = 5 * 60_000;

/** The object store behind a registry: bytes for whoever has a signed link, and no other credential. */
export class BlobStore {
  /** Requests that brought an Authorization where none belongs. */
  leakedAuthorizations = 0;
  readonly #content: Content;
  readonly #key = randomBytes(32);

  constructor(content: Content) {
    this.#content = content;
  }

  /** Path and query of a link that is good for five minutes. */
  link(digest: string, repository: string): string {
    const expires = String(Date.now() + LIFETIME_MS);
    const path = `/store/${repository}/${digest}`;
    return `${path}?expires=${expires}&signature=${this.#sign(path, expires)}`;
  }

  /** As S3 does: 403 for a bad or stale signature, 400 for two kinds of credentials at once. */
  async answer(exchange: Exchange): Promise<void> {
    const { url, request } = exchange;
    if (request.headers.authorization !== undefined) {
      this.leakedAuthorizations++;
      return sendError(exchange, 400, 'InvalidArgument', 'only one auth mechanism is allowed');
    }
    const expires = url.searchParams.get('expires') ?? '';
    const given = Buffer.from(url.searchParams.get('signature') ?? '', 'hex');
    const right = Buffer.from(this.#sign(url.pathname, expires), 'hex');
    if (given.length !== right.length || !timingSafeEqual(given, right) || Number(expires) < Date.now()) {
      return sendError(exchange, 403, 'SignatureDoesNotMatch', 'bad or stale signature');
    }
    const [, repository = '', digest = ''] = /^\/store\/(.+)\/([^/]+)$/.exec(url.pathname) ?? [];
    const source = this.#content.blob(repository, digest);
    if (source === undefined) return sendError(exchange, 404, 'NoSuchKey', 'no such object');
    return sendContent(exchange, digest, source, {
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
    });
  }

  #sign(path: string, expires: string): string {
    return createHmac('sha256', this.#key).update(`${path}\n${expires}`).digest('hex');
  }
}
