import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  AnnounceQueryError,
  parseAnnounceQuery,
  parseScrapeQuery,
  percentDecode,
} from '#tracker/announce-query.ts';

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((raw) => Buffer.from(raw));

/** As stock clients do it: unreserved characters as they are, the rest as `%xx`. */
function percentEncode(raw: Buffer): string {
  const plain = /[A-Za-z0-9._~-]/;
  return [...raw]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return plain.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}

const VALID = `info_hash=${'%01'.repeat(20)}&peer_id=-TR4060-abcdefghijkl&port=51413&uploaded=0&downloaded=0&left=0`;

/** What was thrown. */
function failure(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

describe('a stranger’s announce', () => {
  it('is read with any bytes in its info-hash and peer id', () => {
    const fields = fc.record({
      infoHash: bytes(20),
      peerId: bytes(20),
      port: fc.integer({ min: 1, max: 65_535 }),
      left: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      event: fc.constantFrom('started', 'stopped', 'completed', undefined),
      want: fc.option(fc.nat(1000), { nil: undefined }),
      compact: fc.boolean(),
    });
    fc.assert(
      fc.property(fields, ({ infoHash, peerId, port, left, event, want, compact }) => {
        const query = [
          `info_hash=${percentEncode(infoHash)}`,
          `peer_id=${percentEncode(peerId)}`,
          `port=${port}`,
          `left=${left}`,
          `compact=${compact ? 1 : 0}`,
          ...(event === undefined ? [] : [`event=${event}`]),
          ...(want === undefined ? ['numwant=-1'] : [`numwant=${want}`]),
        ].join('&');
        expect(parseAnnounceQuery(query)).toEqual({
          infoHash: infoHash.toString('hex'),
          peerId: peerId.toString('hex'),
          port,
          left,
          event,
          want,
          compact,
          noPeerId: false,
        });
      }),
    );
  });

  it('that is nonsense is refused with a reason and with nothing else', () => {
    const piece = fc.constantFrom(
      ...'info_hash peer_id port left event compact numwant = & % %0 %zz 1 -1 %ff'.split(' '),
    );
    const nonsense = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 40 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(nonsense, (query) => {
        expect(failure(() => parseAnnounceQuery(query))).toBeInstanceOf(AnnounceQueryError);
        expect(failure(() => parseScrapeQuery(query, 74))).toBeInstanceOf(AnnounceQueryError);
      }),
    );
  });

  it.each([
    ['', 'info_hash is missing'],
    [VALID.replace('%01', ''), 'info_hash has 19 bytes, 20 are needed'],
    [VALID.replace('%01', '%0'), 'two hex digits'],
    [VALID.replace('%01', 'é'), 'percent-encoded'],
    [VALID.replace('51413', '0'), 'port must be an integer from 1 to 65535'],
    [VALID.replace('51413', '65536'), 'port must be'],
    [VALID.replace('left=0', 'left=-1'), 'left must be'],
    [VALID.replace('left=0', 'left=1e3'), 'left must be'],
    [VALID.replace('left=0', ''), 'left is missing'],
    [`${VALID}&port=1`, 'port is given more than once'],
    [`${VALID}&numwant=many`, 'numwant must be an integer'],
    [`${VALID}&${'a=b&'.repeat(200)}`, 'more than 128 parameters'],
    [`${VALID}&x=${'y'.repeat(10_000)}`, 'longer than 8192 characters'],
  ])('%# is refused by what is wrong with it', (query, reason) => {
    expect(() => parseAnnounceQuery(query)).toThrow(reason);
  });

  it('keeps a plus as it is', () => {
    expect(percentDecode('a+b%2b').toString()).toBe('a+b+');
  });
});

describe('a scrape', () => {
  it('names one info-hash or several, never all there are, never too many', () => {
    const one = `info_hash=${'%ab'.repeat(20)}`;
    expect(parseScrapeQuery(`${one}&${one}`, 2)).toEqual(['ab'.repeat(20), 'ab'.repeat(20)]);
    expect(() => parseScrapeQuery(`${one}&${one}&${one}`, 2)).toThrow('more than 2 info_hash');
    expect(() => parseScrapeQuery('', 2)).toThrow('a scrape of everything is not offered');
  });
});
