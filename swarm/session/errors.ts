import type { Digest } from '#registry/digest.ts';

/** The whole did not match its digest: whoever delivered or signed it lied. Nothing of it is kept. */
export class DigestMismatchError extends Error {
  override name = 'DigestMismatchError';
  readonly digest: Digest;

  constructor(digest: Digest, cause?: unknown) {
    super(`the bytes received for ${digest} do not match that digest`, { cause });
    this.digest = digest;
  }
}

/** The torrent ended before the blob was whole; `cause` says why. What was verified is kept. */
export class TorrentFailedError extends Error {
  override name = 'TorrentFailedError';

  constructor(digest: Digest, cause: unknown) {
    super(`${digest}: the download ended before it was complete`, { cause });
  }
}

/** So many torrents are open that no other one may be. */
export class TooManyTorrentsError extends Error {
  override name = 'TooManyTorrentsError';

  constructor(limit: number) {
    super(`${limit} torrents are open, which is the limit`);
  }
}
