import type { FastifyInstance } from 'fastify';
import { readDigest } from '#registry/endpoint.ts';
import { OciError } from '#registry/oci-error.ts';
import type { Torrents } from '#origin/torrents.ts';
import { parseAnnounceUrls } from '#origin/announce-urls.ts';
import { signalOf } from './signal.ts';

export interface TorrentParts {
  readonly torrents: Torrents;
  /** Trackers' announce URLs, in order. */
  readonly announce: readonly string[];
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** `GET /torrents/<digest>.torrent`, where strangers are admitted; `?tracker=<announce URL>` in the place of the usual ones. */
export function addTorrentRoutes(app: FastifyInstance, { torrents, announce, life }: TorrentParts): void {
  app.get<{ Params: { file: string } }>('/torrents/:file', async (request, reply) => {
    const name = /^(?<digest>.+)\.torrent$/u.exec(request.params.file)?.groups?.['digest'];
    if (name === undefined)
      throw new OciError('UNSUPPORTED', '/torrents/<digest>.torrent is expected', { status: 404 });
    const digest = readDigest(name);
    const asked = new URLSearchParams(request.raw.url?.split('?', 2)[1] ?? '').getAll('tracker');
    const trackers = asked.length > 0 ? parseAnnounceUrls(asked) : announce;
    const file = await torrents.get(digest, trackers, signalOf(reply, life));
    if (file === undefined) throw new OciError('BLOB_UNKNOWN', `this origin does not hold ${digest}`);
    return reply
      .type('application/x-bittorrent')
      .header('content-disposition', `attachment; filename="${digest.replace(':', '-')}.torrent"`)
      .send(file);
  });
}
