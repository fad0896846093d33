import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onlyThrows } from './only-throws.ts';
import { MAX_BLOCK_LENGTH } from '#swarm/wire/defaults.ts';
import { WireError } from '#swarm/wire/errors.ts';
import { MessageDecoder, type MessageSink } from '#swarm/wire/message-decoder.ts';
import {
  encodeBitfieldHead,
  encodeBlockRef,
  encodeExtendedHead,
  encodeHave,
  encodeKeepAlive,
  encodePieceHead,
  encodeSignal,
  MESSAGE,
} from '#swarm/wire/message-encoder.ts';
import type { BlockRef } from '#swarm/wire/wire.ts';

/** Writes down what it is told. Blocks of odd pieces are not wanted. */
class Recorder implements MessageSink {
  readonly log: unknown[] = [];
  #target = new Uint8Array(0);

  onSignal(id: number): void {
    this.log.push(['signal', id]);
  }
  onHave(index: number): void {
    this.log.push(['have', index]);
  }
  onBitfield(bits: Uint8Array): void {
    this.log.push(['bitfield', hex(bits)]);
  }
  onBlockRef(id: number, block: BlockRef): void {
    this.log.push(['block', id, block]);
  }
  blockTarget(block: BlockRef): Uint8Array | undefined {
    if (block.index % 2 === 1) return undefined;
    return (this.#target = new Uint8Array(block.length));
  }
  onBlock(block: BlockRef): void {
    this.log.push(['piece', block, hex(this.#target)]);
  }
  onExtended(id: number, payload: Uint8Array): void {
    this.log.push(['extended', id, hex(payload)]);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const LIMITS = { fast: true, extensionBytes: 64 * 1024 };
const uint32 = fc.nat({ max: 0xffff_ffff });
const SIGNALS = [
  MESSAGE.choke,
  MESSAGE.unchoke,
  MESSAGE.interested,
  MESSAGE.uninterested,
  MESSAGE.haveAll,
  MESSAGE.haveNone,
];

/** A message's bytes with what should be reported for it. */
type Sample = { bytes: Buffer; report: unknown[] | undefined };

const block = fc.record({ index: uint32, offset: uint32, length: uint32 });
const payload = fc.uint8Array({ maxLength: 300 });
const message: fc.Arbitrary<Sample> = fc.oneof(
  fc.constant({ bytes: encodeKeepAlive(), report: undefined }),
  fc.constantFrom(...SIGNALS).map((id) => ({ bytes: encodeSignal(id), report: ['signal', id] })),
  uint32.map((index) => ({ bytes: encodeHave(index), report: ['have', index] })),
  fc
    .tuple(fc.constantFrom(MESSAGE.request, MESSAGE.cancel, MESSAGE.reject), block)
    .map(([id, ref]) => ({ bytes: encodeBlockRef(id, ref), report: ['block', id, ref] })),
  payload.map((bits) => ({
    bytes: Buffer.concat([encodeBitfieldHead(bits.length), bits]),
    report: ['bitfield', hex(bits)],
  })),
  fc.tuple(fc.nat({ max: 255 }), payload).map(([id, bytes]) => ({
    bytes: Buffer.concat([encodeExtendedHead(id, bytes.length), bytes]),
    report: ['extended', id, hex(bytes)],
  })),
  fc.tuple(uint32, uint32, fc.uint8Array({ minLength: 1, maxLength: 300 })).map(([index, offset, data]) => {
    const ref = { index, offset, length: data.length };
    const report = index % 2 === 1 ? undefined : ['piece', ref, hex(data)];
    return { bytes: Buffer.concat([encodePieceHead(ref), data]), report };
  }),
  // A kind that Shoal does not know.
  payload.map((bytes) => {
    return { bytes: Buffer.concat([head(1 + bytes.length, 99), bytes]), report: undefined };
  }),
);

function decode(bytes: Buffer, cuts: number[]): unknown[] {
  const recorder = new Recorder();
  const decoder = new MessageDecoder(recorder, LIMITS);
  const shared = Buffer.alloc(bytes.length + 16);
  let position = 0;
  for (const cut of [...cuts, bytes.length]) {
    const count = Math.min(cut, bytes.length - position);
    shared.fill(0xee); // whatever was there must not matter, and must not be kept
    bytes.copy(shared, 0, position, position + count);
    decoder.push(shared, count);
    position += count;
  }
  return recorder.log;
}

function head(length: number, id: number, rest: number[] = []): Buffer {
  const bytes = Buffer.from([0, 0, 0, 0, id, ...rest]);
  bytes.writeUInt32BE(length, 0);
  return bytes;
}

describe('the peer message codec', () => {
  test('messages arrive as they were sent, wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 20 }),
        fc.array(fc.nat({ max: 40 }), { maxLength: 200 }),
        (samples, cuts) => {
          const bytes = Buffer.concat(samples.map((sample) => sample.bytes));
          const reports = samples.flatMap(({ report }) => (report === undefined ? [] : [report]));
          expect(decode(bytes, cuts)).toEqual(reports);
        },
      ),
    );
  });

  test('a block of the greatest length and a large bitfield come whole through small chunks', () => {
    const data = Buffer.alloc(MAX_BLOCK_LENGTH, 7);
    const bits = Buffer.alloc(100_000, 0xaa);
    const bytes = Buffer.concat([
      encodePieceHead({ index: 2, offset: 0, length: data.length }),
      data,
      encodeBitfieldHead(bits.length),
      bits,
    ]);
    const log = decode(
      bytes,
      Array.from({ length: 300 }, () => 1447),
    );
    expect(log).toEqual([
      ['piece', { index: 2, offset: 0, length: data.length }, hex(data)],
      ['bitfield', hex(bits)],
    ]);
  });

  test('random bytes are refused or ignored, never more', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 4000 }),
        fc.array(fc.nat({ max: 100 }), { maxLength: 50 }),
        (bytes, cuts) => {
          expect(onlyThrows(WireError, () => decode(Buffer.from(bytes), cuts))).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('random headers with plausible lengths are refused or ignored, never more', () => {
    const random = fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 25 }), fc.uint8Array({ maxLength: 40 }));
    fc.assert(
      fc.property(fc.array(random, { maxLength: 20 }), (parts) => {
        const bytes = Buffer.concat(
          parts.map(([length, id, rest]) => Buffer.concat([head(length, id), rest])),
        );
        expect(onlyThrows(WireError, () => decode(bytes, [3, 5, 8]))).toBe(true);
      }),
    );
  });

  test.each([
    ['a length with the sign bit is no keep-alive', head(0x8000_0000, MESSAGE.have)],
    ['the greatest length', head(0xffff_ffff, MESSAGE.piece)],
    ['a block above 256 KiB', head(9 + MAX_BLOCK_LENGTH + 1, MESSAGE.piece)],
    ['an empty block', head(9, MESSAGE.piece)],
    ['a bitfield above 1 MiB', head(2 + 1024 * 1024, MESSAGE.bitfield)],
    ['an extension above its limit', head(3 + LIMITS.extensionBytes, MESSAGE.extended)],
    ['an unknown message above its limit', head(2 + 64 * 1024, 99)],
    ['a request that is too short', head(12, MESSAGE.request)],
    ['a request that is too long', head(14, MESSAGE.request)],
    ['a choke with a payload', head(2, MESSAGE.choke)],
  ])('%s ends the connection before anything is taken for it', (_, bytes) => {
    expect(() => decode(bytes, [])).toThrow(WireError);
  });

  test('what a peer only announces costs no memory', () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 200 }, () => {
      const decoder = new MessageDecoder(new Recorder(), LIMITS);
      const bytes = head(1 + 1024 * 1024, MESSAGE.bitfield);
      decoder.push(bytes, bytes.length);
      return decoder;
    });
    const taken = process.memoryUsage().arrayBuffers - before;
    expect(decoders).toHaveLength(200);
    expect(taken).toBeLessThan(200 * 64 * 1024); // 200 MiB were announced
  });

  test('messages of the fast extension end a connection that did not agree on it (BEP 6)', () => {
    for (const id of [13, 14, 15, 16, 17]) {
      const decoder = new MessageDecoder(new Recorder(), { ...LIMITS, fast: false });
      expect(() => decoder.push(head(1, id), 5)).toThrow(/fast extension/u);
    }
  });

  test('nothing is reported after a stop, not even from the same chunk', () => {
    const recorder = new Recorder();
    const decoder = new MessageDecoder(recorder, LIMITS);
    recorder.onHave = () => decoder.stop();
    const bytes = Buffer.concat([encodeHave(1), encodeSignal(MESSAGE.choke)]);
    decoder.push(bytes, bytes.length);
    expect(recorder.log).toEqual([]);
  });
});
