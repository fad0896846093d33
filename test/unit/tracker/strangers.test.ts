import * as fc from 'fast-check';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

import { decodeBencode } from '#swarm/hashes/bencode.ts';
import type { Bencoded } from '#swarm/hashes/bencode.ts';

import { DIGEST, hexId, runTracker } from './running-tracker.ts';
import type { TestTracker } from './running-tracker.ts';

const ADMITTED = { strangers: { listen: '127.0.0.1:0' } };

/** One blob with an origin, a complete agent, one that still loads it, and one in the live swarm. */
async function seededBlob(tracker: TestTracker) {
  const [verified, live, infoHash] = [hexId(), hexId(), hexId()];
  const announce = (
    peerId: string,
    role: string,
    port: number,
    swarm: string,
    complete: boolean,
    more: object = {},
  ) =>
    tracker.post('/v1/announce', {
      peerId,
      session: hexId(16),
      sequence: 0,
      self: { role, host: '192.0.2.1', port, topology: {} },
      join: [{ swarm, complete, want: 20, digest: DIGEST }],
      ...more,
    });
  const alias = [{ swarm: verified, infoHash, digest: DIGEST }];
  await announce(hexId(), 'origin', 1, verified, true, { alias });
  await announce(hexId(), 'agent', 2, verified, true);
  await announce(hexId(), 'agent', 3, verified, false);
  await announce(hexId(), 'agent', 4, live, false);
  return { verified, live, infoHash, announce };
}

function percent(hex: string): string {
  return hex.replace(/../g, '%$&');
}

function asked(tracker: TestTracker) {
  const get = async (path: string, query: string): Promise<Map<string, Bencoded>> => {
    const answer = await fetch(`http://${tracker.running.strangersAddress}/${path}?${query}`);
    expect(answer.status).toBe(200);
    const decoded = decodeBencode(Buffer.from(await answer.arrayBuffer()), { canonical: true });
    return decoded instanceof Map ? decoded : new Map<string, Bencoded>();
  };
  return {
    announce: (infoHash: string, peerId: string, rest = 'left=5&compact=1') =>
      get('announce', `info_hash=${percent(infoHash)}&peer_id=${percent(peerId)}&port=6881&${rest}`),
    get,
  };
}

async function reason(answer: Promise<Map<string, Bencoded>>): Promise<string> {
  const given = (await answer).get('failure reason');
  return given instanceof Uint8Array ? given.toString() : 'none';
}

function ports(compact: Bencoded | undefined): number[] {
  const bytes = compact instanceof Uint8Array ? Buffer.from(compact) : Buffer.alloc(0);
  return Array.from({ length: bytes.length / 6 }, (_, at) => bytes.readUInt16BE(at * 6 + 4)).toSorted(
    (a, b) => a - b,
  );
}

describe('strangers by HTTP', () => {
  it('are told of peers that are complete or in the live swarm, and of each other', async () => {
    await using tracker = await runTracker(ADMITTED);
    const { infoHash } = await seededBlob(tracker);
    const { announce } = asked(tracker);
    const first = await announce(infoHash, hexId());
    expect(ports(first.get('peers'))).toEqual([1, 2, 4]);
    expect([first.get('complete'), first.get('incomplete'), first.get('interval')]).toEqual([2, 3, 30]);
    const second = await announce(infoHash, hexId(), 'left=0&event=completed');
    expect(ports(second.get('peers'))).toEqual([4, 6881]);
    const limited = await announce(infoHash, hexId(), 'left=1&numwant=2');
    expect(ports(limited.get('peers'))).toHaveLength(2);
    expect(await tracker.metric('strangers')).toBe(3);
  });

  it('are told to Shoal peers apart, with their info-hash, until they stop', async () => {
    await using tracker = await runTracker(ADMITTED);
    const { infoHash, announce: announceMember, live } = await seededBlob(tracker);
    const stranger = hexId();
    await asked(tracker).announce(infoHash, stranger);
    const told = async () => {
      const { body } = await announceMember(hexId(), 'agent', 9, live, false);
      return body;
    };
    const heard = (aliases: object[]) => ({ swarms: [{ swarm: live, aliases }] });
    const peer = { id: stranger, host: '127.0.0.1', port: 6881, role: 'stranger', complete: false };
    expect(await told()).toMatchObject(heard([{ infoHash, peers: [peer] }]));
    await asked(tracker).announce(infoHash, stranger, 'left=5&event=stopped');
    expect(await told()).toMatchObject(heard([{ infoHash, peers: [] }]));
  });

  it('scrape what they know the info-hash of', async () => {
    await using tracker = await runTracker(ADMITTED);
    const { infoHash } = await seededBlob(tracker);
    const { announce, get } = asked(tracker);
    await announce(infoHash, hexId(), 'left=0&event=completed');
    const answer = await get('scrape', `info_hash=${percent(infoHash)}&info_hash=${percent(hexId())}`);

    const entry = new Map([
      ['complete', 3],
      ['downloaded', 1],
      ['incomplete', 2],
    ]);
    expect(answer.get('files')).toEqual(new Map([[Buffer.from(infoHash, 'hex').toString('latin1'), entry]]));
  });

  it('cannot make a swarm, fill the tracker, or get more than a reason for nonsense', async () => {
    await using tracker = await runTracker(ADMITTED, { limits: { maxStrangers: 1 } });
    const { infoHash } = await seededBlob(tracker);
    const { announce, get } = asked(tracker);
    expect(await reason(announce(hexId(), hexId()))).toBe('this info-hash is not served here');
    const stranger = hexId();
    await announce(infoHash, stranger);
    expect(await reason(announce(infoHash, hexId()))).toBe('the tracker knows as many clients as it may');
    expect(ports((await announce(infoHash, stranger)).get('peers'))).toEqual([1, 2, 4]);
    await fc.assert(
      fc.asyncProperty(
        fc.webQueryParameters(),
        fc.constantFrom('announce', 'scrape'),
        async (query, path) => {
          expect(await reason(get(path, query))).not.toBe('none');
        },
      ),
      { numRuns: 30 },
    );
    expect(await reason(get('announce', '%zz=%'))).toContain('two hex digits');
    expect(await tracker.metric('swarms')).toBe(2);
  });

  it('have no way to the routes of members, nor members’ routes to them', async () => {
    await using tracker = await runTracker(ADMITTED);
    const announced = await fetch(`http://${tracker.running.address}/announce?info_hash=x`);
    expect(announced.status).toBe(404);
    const posted = await fetch(`http://${tracker.running.strangersAddress}/v1/announce`, { method: 'POST' });
    expect(posted.status).toBe(404);
  });
});

async function datagrams(port: number) {
  const socket = createSocket('udp4');
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return {
    ask(message: Buffer): Promise<Buffer> {
      const answered = new Promise<Buffer>((resolve, reject) => {
        socket.once('message', resolve);
        AbortSignal.timeout(5000).addEventListener('abort', () => reject(new Error('no answer')), {
          once: true,
        });
      });
      socket.send(message);
      return answered;
    },
    send: (message: Buffer) => socket.send(message),
    [Symbol.dispose]: () => void socket.close(),
  };
}

const CONNECT = Buffer.from('00000417271019800000000000000001', 'hex');

function udpAnnounce(connection: Buffer, infoHash: string, port = 6881): Buffer {
  const message = Buffer.alloc(98);
  message.set(connection);
  message.writeUInt32BE(1, 8);
  message.writeUInt32BE(2, 12);
  message.write(infoHash, 16, 'hex');
  message.write(hexId(), 36, 'hex');
  message.writeBigUInt64BE(7n, 64);
  message.writeInt32BE(-1, 92);
  message.writeUInt16BE(port, 96);
  return message;
}

describe('strangers by UDP', () => {
  it('connect, announce and scrape by BEP 15', async () => {
    await using tracker = await runTracker(ADMITTED);
    const { infoHash } = await seededBlob(tracker);
    using client = await datagrams(tracker.running.udpPort!);
    const connected = await client.ask(CONNECT);
    expect(connected.subarray(0, 8).toString('hex')).toBe('0000000000000001');
    const connection = connected.subarray(8);
    const announced = await client.ask(udpAnnounce(connection, infoHash));
    expect(announced.subarray(0, 20).toString('hex')).toBe('00000001000000020000001e0000000300000002');
    expect(ports(announced.subarray(20))).toEqual([1, 2, 4]);
    const scrape = Buffer.concat([
      connection,
      Buffer.from('0000000200000003', 'hex'),
      Buffer.from(infoHash, 'hex'),
    ]);
    expect((await client.ask(scrape)).toString('hex')).toBe('0000000200000003000000020000000000000003');
  });

  it('get an error for what is wrong, and nothing at all without a connection id', async () => {
    await using tracker = await runTracker(ADMITTED);
    const { infoHash } = await seededBlob(tracker);
    using client = await datagrams(tracker.running.udpPort!);
    const connection = (await client.ask(CONNECT)).subarray(8);
    const refused = await client.ask(udpAnnounce(connection, hexId()));
    expect(refused.toString()).toContain('this info-hash is not served here');
    expect((await client.ask(udpAnnounce(connection, infoHash, 0))).toString()).toContain('port must be');
    client.send(udpAnnounce(Buffer.alloc(8), infoHash));
    client.send(Buffer.alloc(3));
    // What comes next is the answer to the connect, as nothing came before it.
    expect((await client.ask(CONNECT)).subarray(0, 8).toString('hex')).toBe('0000000000000001');
    expect(await tracker.metric('strangers')).toBe(0);
  });
});
