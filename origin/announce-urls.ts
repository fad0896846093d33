import { OciError } from '#registry/oci-error.ts';
import { formatHostPort, parseHostPort } from '#service/host-port.ts';
import { STRANGERS_TRACKER_PORT } from './defaults.ts';

const MAX_TRACKERS = 8;
const MAX_URL = 512;
const SCHEMES: ReadonlySet<string> = new Set(['http:', 'https:', 'udp:']);

/** Where stock clients announce: at the trackers' own hosts, on the port that is theirs by default. */
export function announceUrls(trackers: readonly string[]): string[] {
  return trackers.flatMap((tracker) => {
    const place = parseHostPort(tracker);
    return place === undefined
      ? []
      : [`http://${formatHostPort({ host: place.host, port: STRANGERS_TRACKER_PORT })}/announce`];
  });
}

/** Announce URLs that a client asks to have in its `.torrent`: they are no part of the info-hash. @throws OciError */
export function parseAnnounceUrls(given: readonly string[]): string[] {
  if (given.length > MAX_TRACKERS)
    throw invalid(`${given.length} trackers are named, ${MAX_TRACKERS} are allowed`);
  return given.map((text) => {
    const url = text.length > MAX_URL ? null : URL.parse(text);
    if (url === null || !SCHEMES.has(url.protocol) || url.username !== '' || url.password !== '')
      throw invalid('a tracker is named by an http, https or udp URL');
    return url.href;
  });
}

function invalid(message: string): OciError {
  return new OciError('UNSUPPORTED', message, { status: 400 });
}
