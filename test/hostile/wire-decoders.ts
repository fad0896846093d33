import { createHash } from 'node:crypto';
import { Compile } from 'typebox/compile';
import { digestOf } from '#registry/digest.ts';
import { generateSigningKey, parsePublicKeys } from '#service/signing.ts';
import { AnnounceRequest, ReplicasRequest } from '#swarm/announce/messages.ts';
import { openBatch, signBatch } from '#swarm/hashes/batch.ts';
import { decodeBencode, decodeBencodePrefix, encodeBencode } from '#swarm/hashes/bencode.ts';
import { decodeMetadata, encodeMetadata } from '#swarm/hashes/metadata.ts';
import { encodeInfo, encodeTorrent, parseInfo, parseTorrent } from '#swarm/hashes/torrent-file.ts';
import { decodeExtendedHandshake, encodeExtendedHandshake } from '#swarm/wire/extended-handshake.ts';
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES } from '#swarm/wire/handshake.ts';
import { MessageDecoder, type MessageSink } from '#swarm/wire/message-decoder.ts';
import * as encoder from '#swarm/wire/message-encoder.ts';
import { decodePieceIndex } from '#swarm/wire/shoal-messages.ts';
import { parseAnnounceQuery, parseScrapeQuery } from '#tracker/announce-query.ts';
import { decodeUdpRequest } from '#tracker/udp-messages.ts';
import type { Decoder } from './decoder.ts';

const PIECE = 256 * 1024;
const DIGEST = digestOf('a blob');
const ID = Buffer.alloc(20, 7);
const HASH = createHash('sha256').update('piece').digest();
const signer = generateSigningKey();
const trusted = parsePublicKeys([signer.publicKey.toString('base64')]);
const info = encodeInfo({ digest: DIGEST, size: PIECE, pieceLength: PIECE, pieces: Buffer.alloc(20, 9) });
const block = { index: 1, offset: 16_384, length: 16_384 };
const SINK: MessageSink = {
  onSignal() {},
  onHave() {},
  onBitfield() {},
  onBlockRef() {},
  blockTarget: ({ index, length }) => (index % 2 === 0 ? new Uint8Array(length) : undefined),
  onBlock() {},
  onExtended() {},
};

/** Feeds the stream in chunks of every length: messages are cut anywhere. */
const decodeMessages: Decoder['decode'] = (input, random) => {
  const decoder = new MessageDecoder(SINK, { fast: random(2) === 0, extensionBytes: 64 * 1024 });
  for (let at = 0; at < input.length;) {
    const chunk = input.subarray(at, at + 1 + random(64));
    decoder.push(chunk, chunk.length);
    at += chunk.length;
  }
};

const hello = { metadataSize: 100, uploadOnly: true };
const udp = (action: number, rest: Buffer): Buffer => {
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(0x41727101980n, 0);
  head.writeUInt32BE(action, 8);
  return Buffer.concat([head, rest]);
};
const announceBody = Compile(AnnounceRequest);
const replicasBody = Compile(ReplicasRequest);

/** What comes over the peer wire and to trackers. */
export const WIRE_DECODERS: Readonly<Record<string, Decoder>> = {
  bencode: {
    decode(input, random) {
      if (random(2) === 0) decodeBencode(input);
      else decodeBencodePrefix(input);
    },
    refusals: ['BencodeError'],
    samples: [
      encodeBencode({ a: 1, b: ['x', { c: 'y' }], d: Buffer.alloc(20) }),
      Buffer.from('i-42e'),
      Buffer.from('llllleeeee'),
    ],
    words: ['l', 'd', 'e', 'i', '0:', '-1:', '99999999999:', 'i0e', 'i-0e', '4:spam', 'l'.repeat(200)],
  },
  torrent: {
    decode(input, random) {
      if (random(2) === 0) parseTorrent(input);
      else parseInfo(input);
    },
    refusals: ['TorrentFileError', 'BencodeError'],
    samples: [encodeTorrent(info, ['http://tracker/announce']), info],
    words: ['6:length', '12:piece length', '6:pieces', 'i0e', 'i-1e', 'i9007199254740993e', '7:private'],
  },
  'metadata message': {
    decode: (input) => void decodeMetadata(input),
    refusals: ['MetadataError', 'BencodeError'],
    samples: [
      encodeMetadata({ kind: 'request', piece: 0 }),
      encodeMetadata({ kind: 'data', piece: 0, totalSize: 5, data: Buffer.from('hello') }),
    ],
    words: ['8:msg_type', '5:piece', '10:total_size', 'i0e', 'i99999999999e'],
  },
  'peer messages': {
    decode: decodeMessages,
    refusals: ['WireError'],
    samples: [
      Buffer.concat([
        encoder.encodeKeepAlive(),
        encoder.encodeSignal(encoder.MESSAGE.unchoke),
        encoder.encodeHave(3),
        encoder.encodeBlockRef(encoder.MESSAGE.request, block),
        encoder.encodeBitfieldHead(4),
        Buffer.alloc(4, 0xf0),
      ]),
      Buffer.concat([encoder.encodePieceHead({ ...block, length: 300 }), Buffer.alloc(300)]),
      Buffer.concat([encoder.encodeExtendedHead(3, 100), Buffer.alloc(100)]),
    ],
    words: [
      Buffer.from('0000000d06', 'hex'),
      Buffer.from('7fffffff07', 'hex'),
      Buffer.from('80000000', 'hex'),
    ],
  },
  handshake: {
    decode: (input) =>
      void decodeHandshake(Buffer.concat([input, Buffer.alloc(HANDSHAKE_BYTES)], HANDSHAKE_BYTES)),
    refusals: ['HandshakeError'],
    samples: [encodeHandshake(ID, ID)],
    words: ['\u0013BitTorrent protocol'],
  },
  'extended handshake': {
    decode: (input, random) => void decodeExtendedHandshake(input, random(2) === 0),
    refusals: ['WireError', 'BencodeError'],
    samples: [
      encodeExtendedHandshake(hello, undefined),
      encodeExtendedHandshake(hello, { role: 'origin', blockLength: 131_072, node: 'n1' }),
    ],
    words: ['1:m', '4:reqq', '5:shoal', '5:block', '13:metadata_size', 'i0e', 'i-1e', 'i4294967296e'],
  },
  'piece index': {
    decode: (input) => void decodePieceIndex(input),
    refusals: ['WireError'],
    samples: [Buffer.from('00000001', 'hex')],
    words: [Buffer.alloc(4, 0xff)],
  },
  'signed batch': {
    decode: (input) => void openBatch(input, trusted),
    refusals: ['BatchError'],
    samples: [
      signBatch(
        {
          digest: DIGEST,
          scope: 'r.example',
          size: 10 * PIECE,
          pieceLength: PIECE,
          first: 0,
          links: Buffer.concat([HASH, HASH]),
        },
        signer,
      ),
    ],
    words: [Buffer.alloc(8, 0xff), 'sha256:', Buffer.from([1, 71])],
  },
  'announce query': {
    decode(input, random) {
      const query = input.toString('latin1');
      if (random(2) === 0) parseAnnounceQuery(query);
      else parseScrapeQuery(query, 64);
    },
    refusals: ['AnnounceQueryError'],
    samples: [
      Buffer.from(`info_hash=${'%01'.repeat(20)}&peer_id=${'a'.repeat(20)}&port=6881&left=0&event=started`),
      Buffer.from(`info_hash=${'%ff'.repeat(20)}&info_hash=${'b'.repeat(20)}`),
    ],
    words: ['&', '=', '%', '%zz', 'port=', 'numwant=-1', 'left=99999999999999999999', 'compact=0'],
  },
  'announce body': {
    decode(input, random) {
      const value: unknown = JSON.parse(input.toString());
      if (random(2) === 0) announceBody.Check(value);
      else replicasBody.Check(value);
    },
    refusals: ['SyntaxError'],
    samples: [
      Buffer.from(
        JSON.stringify({
          peerId: '00'.repeat(20),
          session: 'a'.repeat(16),
          sequence: 1,
          add: ['00'.repeat(20)],
        }),
      ),
      Buffer.from(JSON.stringify({ peerId: '00'.repeat(20), swarms: ['00'.repeat(20)] })),
    ],
    words: ['{', '}', '[', ']', ',', '":', '1e999', '-0', '"__proto__":{}', '['.repeat(200)],
  },
  'UDP datagram': {
    decode: (input) => void decodeUdpRequest(input, 64),
    refusals: [],
    samples: [udp(0, Buffer.alloc(0)), udp(1, Buffer.alloc(82, 1)), udp(2, Buffer.alloc(40, 1))],
    words: [Buffer.alloc(8, 0xff), Buffer.from([0, 0, 0, 2])],
  },
};
