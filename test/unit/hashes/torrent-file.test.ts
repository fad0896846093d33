import assert from 'node:assert';
import { createHash } from 'node:crypto';
import bencode from 'bencode';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onlyThrows } from '../wire/only-throws.ts';
import { digestOf } from '#registry/digest.ts';
import {
  encodeInfo,
  encodeTorrent,
  infoHash,
  parseInfo,
  parseTorrent,
  TorrentFileError,
  type TorrentContent,
} from '#swarm/hashes/torrent-file.ts';

const BYTES = Buffer.concat(
  Array.from({ length: 1200 }, () => Buffer.from(Array.from({ length: 256 }, (_, index) => index))),
);
const CONTENT: TorrentContent = {
  digest: digestOf(BYTES),
  size: BYTES.length,
  pieceLength: 262_144,
  pieces: Buffer.concat(
    [BYTES.subarray(0, 262_144), BYTES.subarray(262_144)].map((piece) =>
      createHash('sha1').update(piece).digest(),
    ),
  ),
};
const TRACKERS = ['http://tracker.example:29512/announce', 'udp://[fd00::1]:29512'];

function utf8(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text));
}

describe('the torrent of a blob', () => {
  test('has the info-hash that any implementation computes', () => {
    // Made with hashlib and by hand from BEP 3.
    expect(infoHash(encodeInfo(CONTENT)).toString('hex')).toBe('83e00436d05a6cd2576d9edb6a00fd0ab3dd8077');
  });

  test('reads with the package bencode', () => {
    const info = {
      length: BYTES.length,
      name: utf8(CONTENT.digest),
      'piece length': 262_144,
      pieces: Uint8Array.from(CONTENT.pieces),
      private: 1,
    };
    expect(bencode.decode(encodeTorrent(encodeInfo(CONTENT), TRACKERS))).toEqual({
      announce: utf8(TRACKERS[0]!),
      'announce-list': TRACKERS.map((url) => [utf8(url)]),
      'created by': utf8('Shoal'),
      info,
    });
    expect(Buffer.from(bencode.encode(info)).equals(encodeInfo(CONTENT))).toBe(true);
  });

  test('comes back as it was made', () => {
    for (const trackers of [[], TRACKERS.slice(1), TRACKERS]) {
      const info = encodeInfo(CONTENT);
      const torrent = parseTorrent(encodeTorrent(info, trackers));
      expect(torrent).toEqual({ ...CONTENT, info, infoHash: infoHash(info), trackers });
    }
    expect(parseInfo(encodeInfo(CONTENT))).toEqual(CONTENT);
  });

  test('is not made where sizes and hashes disagree', () => {
    expect(() => encodeInfo({ ...CONTENT, size: 0 })).toThrow('0 bytes');
    expect(() => encodeInfo({ ...CONTENT, size: 600_000 })).toThrow('40 bytes of piece hashes where 60');
    expect(() => encodeInfo({ ...CONTENT, pieceLength: 0 })).toThrow(TorrentFileError);
  });

  test.each<[string, (info: Record<string, unknown>) => unknown, string]>([
    ['that is not private', (info) => ({ ...info, private: 0 }), 'private'],
    ['with another member in its info', (info) => ({ ...info, source: 'x' }), 'members'],
    ['of several files', ({ length: files, ...info }) => ({ ...info, files }), 'members'],
    ['with a name that is no digest', (info) => ({ ...info, name: '../../etc/passwd' }), 'no digest'],
    ['of a negative length', (info) => ({ ...info, length: -1 }), '-1 bytes'],
    ['whose length is a text', (info) => ({ ...info, length: 'x' }), 'no integer'],
    ['with hashes missing', (info) => ({ ...info, pieces: new Uint8Array(20) }), 'where 40'],
  ])('%s is refused', (_, change, reason) => {
    const info = {
      length: CONTENT.size,
      name: CONTENT.digest,
      'piece length': CONTENT.pieceLength,
      pieces: CONTENT.pieces,
      private: 1,
    };
    expect(() => parseTorrent(bencode.encode({ info: change(info) }))).toThrow(reason);
  });

  test('is refused with trackers that are no URLs', () => {
    const info = encodeInfo(CONTENT);
    for (const url of ['javascript:1', 'http://', 'x'])
      expect(() => parseTorrent(encodeTorrent(info, [url]))).toThrow('announce URL');
    expect(() =>
      parseTorrent(
        encodeTorrent(
          info,
          Array.from({ length: 65 }, () => TRACKERS[0]!),
        ),
      ),
    ).toThrow('64 allowed');
  });

  test('any bytes are refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string().map((text) => Buffer.from(`d4:info${text}e`)),
        ),
        (bytes) => {
          expect(() => parseTorrent(bytes)).toThrow(TorrentFileError);
          expect(() => parseInfo(bytes)).toThrow(TorrentFileError);
        },
      ),
    );
  });

  test('cut or changed anywhere it is refused or something else', () => {
    const torrent = encodeTorrent(encodeInfo(CONTENT), TRACKERS);
    fc.assert(
      fc.property(fc.nat({ max: torrent.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
        const changed = Buffer.from(torrent);
        changed[at] = value;
        const known = infoHash(encodeInfo(CONTENT));
        const parse = (): void => {
          const { trackers: _trackers, info: _info, infoHash: hash, ...content } = parseTorrent(changed);
          if (hash.equals(known)) assert.deepEqual(content, CONTENT);
        };
        expect(onlyThrows(TorrentFileError, parse)).toBe(true);
        expect(() => parseTorrent(torrent.subarray(0, at))).toThrow(TorrentFileError);
      }),
    );
  });
});
