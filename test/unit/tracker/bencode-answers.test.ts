import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decodeBencode } from '#swarm/hashes/bencode.ts';
import { compactAddress, normaliseAddress } from '#tracker/address.ts';
import { encodeAnnounceAnswer, encodeFailure, encodeScrapeAnswer } from '#tracker/bencode-answers.ts';

const peer = (ip: string, port: number) => ({ id: '2d'.repeat(20), ip, host: ip, port });
const FORMAT = { intervalMs: 30_000, compact: true, noPeerId: false };

describe('answers to strangers', () => {
  it('carry compact peers by BEP 23 and BEP 7', () => {
    const peers = [peer('192.0.2.1', 6881), peer('2001:db8::1', 6882), peer('198.51.100.7', 1)];
    const answer = encodeAnnounceAnswer({ complete: 3, incomplete: 4, peers }, FORMAT);
    const ipv4 = Buffer.from('c00002011ae1c63364070001', 'hex').toString('latin1');
    const ipv6 = Buffer.from('20010db80000000000000000000000011ae2', 'hex').toString('latin1');
    expect(answer.toString('latin1')).toBe(
      `d8:completei3e10:incompletei4e8:intervali30e12:min intervali15e5:peers12:${ipv4}6:peers618:${ipv6}e`,
    );
  });

  it('carry a list of peers by BEP 3 where compact ones are not wanted', () => {
    const peers = [peer('192.0.2.1', 6881)];
    const id = Buffer.from('2d'.repeat(20), 'hex').toString('latin1');
    const head = 'd8:completei0e10:incompletei1e8:intervali30e12:min intervali15e5:peers';
    const listed = { complete: 0, incomplete: 1, peers };
    expect(encodeAnnounceAnswer(listed, { ...FORMAT, compact: false }).toString('latin1')).toBe(
      `${head}ld2:ip9:192.0.2.17:peer id20:${id}4:porti6881eeee`,
    );
    expect(
      encodeAnnounceAnswer(listed, { ...FORMAT, compact: false, noPeerId: true }).toString('latin1'),
    ).toBe(`${head}ld2:ip9:192.0.2.14:porti6881eeee`);
  });

  it('to a scrape have the info-hashes in the order of their bytes, as BEP 3 wants keys', () => {
    const hash = fc
      .uint8Array({ minLength: 20, maxLength: 20 })
      .map((raw) => Buffer.from(raw).toString('hex'));
    fc.assert(
      fc.property(fc.uniqueArray(hash, { maxLength: 20 }), (hashes) => {
        const entries = new Map(
          hashes.map((each, at) => [each, { complete: at, downloaded: 1, incomplete: 2 }]),
        );
        const decoded = decodeBencode(encodeScrapeAnswer(entries), { canonical: true });
        expect(decoded).toBeInstanceOf(Map);
        const files = decoded instanceof Map ? decoded.get('files') : undefined;
        const found = files instanceof Map ? [...files] : [];
        expect(
          new Map(found.map(([key, value]) => [Buffer.from(key, 'latin1').toString('hex'), value])),
        ).toEqual(new Map([...entries].map(([key, value]) => [key, new Map(Object.entries(value))])));
      }),
    );
    expect(encodeScrapeAnswer(new Map()).toString()).toBe('d5:filesdee');
  });

  it('say why they refuse', () => {
    expect(encodeFailure('no').toString()).toBe('d14:failure reason2:noe');
  });
});

describe('addresses', () => {
  it.each([
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:db8::7', '2001:db8::7'],
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:999.0.2.7', '::ffff:999.0.2.7'],
  ])('%s is seen as %s', (given, seen) => {
    expect(normaliseAddress(given)).toBe(seen);
  });

  it.each([
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::', '20010db8000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
  ])('%s is written compactly', (ip, hex) => {
    expect(compactAddress(ip, 0x1ae1)?.toString('hex')).toBe(`${hex}1ae1`);
  });

  it('what is none is not written', () => {
    expect(compactAddress('peer.test', 1)).toBeUndefined();
    expect(compactAddress('1.2.3', 1)).toBeUndefined();
  });

  it('any IPv6 address keeps its groups', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.integer({ min: 1, max: 65_535 }), (ip, port) => {
        const written = compactAddress(ip, port)!;
        expect(written).toHaveLength(18);
        const groups = Array.from({ length: 8 }, (_, at) => written.readUInt16BE(at * 2).toString(16));
        expect(new URL(`http://[${groups.join(':')}]`).hostname).toBe(new URL(`http://[${ip}]`).hostname);
      }),
    );
  });
});
