import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ConnectionIds } from '#tracker/connection-ids.ts';
import {
  decodeUdpRequest,
  encodeConnectAnswer,
  encodeUdpAnnounce,
  encodeUdpError,
  encodeUdpScrape,
} from '#tracker/udp-messages.ts';

const MAGIC = '0000041727101980';

describe('UDP tracker messages (BEP 15)', () => {
  it('a connect request is told by its magic number alone', () => {
    const connect = Buffer.from(`${MAGIC}0000000012345678`, 'hex');
    expect(decodeUdpRequest(connect, 74)).toEqual({ kind: 'connect', transaction: 0x12345678 });
    expect(decodeUdpRequest(Buffer.from('00000417271019810000000012345678', 'hex'), 74)).toBeUndefined();
    expect(encodeConnectAnswer(0x12345678, 0xfedcba9876543210n).toString('hex')).toBe(
      '0000000012345678fedcba9876543210',
    );
  });

  it('an announce is read field by field', () => {
    const fields = fc.record({
      infoHash: fc.uint8Array({ minLength: 20, maxLength: 20 }),
      peerId: fc.uint8Array({ minLength: 20, maxLength: 20 }),
      left: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      event: fc.nat(3),
      want: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      port: fc.integer({ min: 1, max: 65_535 }),
      options: fc.uint8Array({ maxLength: 30 }),
    });
    fc.assert(
      fc.property(fields, ({ infoHash, peerId, left, event, want, port, options }) => {
        const datagram = Buffer.alloc(98);
        datagram.write('0102030405060708', 'hex');
        datagram.writeUInt32BE(1, 8);
        datagram.writeUInt32BE(0xffffffff, 12);
        datagram.set(infoHash, 16);
        datagram.set(peerId, 36);
        datagram.writeBigUInt64BE(left, 64);
        datagram.writeUInt32BE(event, 80);
        datagram.writeInt32BE(want, 92);
        datagram.writeUInt16BE(port, 96);
        expect(decodeUdpRequest(Buffer.concat([datagram, options]), 74)).toEqual({
          kind: 'announce',
          connectionId: 0x0102030405060708n,
          transaction: 0xffffffff,
          announce: {
            infoHash: Buffer.from(infoHash).toString('hex'),
            peerId: Buffer.from(peerId).toString('hex'),
            left,
            event: [undefined, 'completed', 'started', 'stopped'][event],
            want: want < 0 ? undefined : want,
            port,
          },
        });
      }),
    );
  });

  it('any bytes are read or refused, never thrown at', () => {
    const kinds = new Set([undefined, 'connect', 'announce', 'scrape', 'malformed']);
    const action = fc.constantFrom(0, 1, 2, 3, 0xffffffff);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), action, (raw, given) => {
        const datagram = Buffer.from(raw);
        if (datagram.length >= 12) datagram.writeUInt32BE(given, 8);
        const request = decodeUdpRequest(datagram, 5);
        expect(kinds).toContain(request?.kind);
        expect(request === undefined || datagram.length >= 16).toBe(true);
        expect(request?.kind !== 'scrape' || request.infoHashes.length * 20 + 16 === datagram.length).toBe(
          true,
        );
      }),
    );
  });

  it('answers are laid out as BEP 15 has them', () => {
    const peers = [
      { id: '', host: '', ip: '192.0.2.1', port: 6881 },
      { id: '', host: '', ip: '2001:db8::1', port: 6882 },
    ];
    const answer = { complete: 2, incomplete: 3, peers };
    const head = '00000001000000090000001e0000000300000002';
    const announce = (family: 4 | 6) =>
      encodeUdpAnnounce(9, answer, { intervalMs: 30_000, family }).toString('hex');
    expect(announce(4)).toBe(`${head}c00002011ae1`);
    expect(announce(6)).toBe(`${head}20010db80000000000000000000000011ae2`);
    const entry = { complete: 1, downloaded: 2, incomplete: 3 };
    expect(encodeUdpScrape(9, [entry, undefined]).toString('hex')).toBe(
      `0000000200000009000000010000000200000003${'0'.repeat(24)}`,
    );
    expect(encodeUdpError(9, 'no').toString('hex')).toBe('00000003000000096e6f');
  });
});

describe('UDP connection ids', () => {
  it('hold for their address and for one to two minutes', () => {
    const clock = { now: 59_000 };
    const ids = new ConnectionIds({ now: () => clock.now });
    const id = ids.issue('192.0.2.1');
    expect(ids.isValid('192.0.2.1', id)).toBe(true);
    expect(ids.isValid('192.0.2.2', id)).toBe(false);
    expect(ids.isValid('192.0.2.1', id + 1n)).toBe(false);
    clock.now += 60_000;
    expect(ids.isValid('192.0.2.1', id)).toBe(true);
    clock.now += 60_000;
    expect(ids.isValid('192.0.2.1', id)).toBe(false);
    expect(new ConnectionIds({ now: () => 59_000 }).isValid('192.0.2.1', id)).toBe(false);
  });
});
