import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Resource records of one name, as text: addresses, or `port target` for services. */
export interface Zone {
  [name: string]: { readonly A?: string[]; readonly AAAA?: string[]; readonly SRV?: string[] };
}

export interface NameServer extends AsyncDisposable {
  /** For `Resolver.setServers`. */
  readonly address: string;
  /** Questions so far, as `type name`. */
  readonly questions: string[];
  /** Seconds that answers may be kept. */
  ttl: number;
  /** Answers nothing any more. */
  silent: boolean;
}

const TYPES: Readonly<Record<number, 'A' | 'AAAA' | 'SRV'>> = { 1: 'A', 28: 'AAAA', 33: 'SRV' };
const NO_SUCH_NAME = 3;

/** A name server on loopback (RFC 1035, 3596 and 2782) that says what `zone` says at that moment. */
export async function startNameServer(zone: Zone): Promise<NameServer> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const server: NameServer = {
    address: `127.0.0.1:${socket.address().port}`,
    questions: [],
    ttl: 0,
    silent: false,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await once(socket, 'close');
    },
  };
  socket.on('message', (message, { port, address }) => {
    const { name, type, end } = readQuestion(message);
    server.questions.push(`${type ?? '?'} ${name}`);
    if (server.silent) return;
    const known = zone[name];
    const records = type === undefined ? [] : (known?.[type] ?? []).map((text) => encodeRecord(type, text));
    const header = Buffer.from(message.subarray(0, 12));
    // A recursive answer to that question.
    header.writeUInt16BE(0x8180 | (known === undefined ? NO_SUCH_NAME : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt32BE(0, 8);
    const answers = records.map((data) => {
      const head = Buffer.alloc(12);
      head.writeUInt16BE(0xc00c, 0);
      message.copy(head, 2, end - 4, end);
      head.writeUInt32BE(server.ttl, 6);
      head.writeUInt16BE(data.length, 10);
      return Buffer.concat([head, data]);
    });
    socket.send(Buffer.concat([header, message.subarray(12, end), ...answers]), port, address);
  });
  return server;
}

function readQuestion(message: Buffer): {
  name: string;
  type: 'A' | 'AAAA' | 'SRV' | undefined;
  end: number;
} {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: TYPES[message.readUInt16BE(at + 1)], end: at + 5 };
}

function encodeRecord(type: 'A' | 'AAAA' | 'SRV', text: string): Buffer {
  if (type === 'A') return Buffer.from(text.split('.').map(Number));
  if (type === 'SRV') {
    const [port, target = ''] = text.split(' ');
    const head = Buffer.alloc(6);
    head.writeUInt16BE(Number(port), 4);
    const labels = target
      .split('.')
      .map((label) => Buffer.from(`${String.fromCodePoint(label.length)}${label}`));
    return Buffer.concat([head, ...labels, Buffer.alloc(1)]);
  }
  const [before = '', after] = text.split('::');
  const [head, tail] = [groups(before), groups(after ?? '')];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of head.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of tail.entries()) bytes.writeUInt16BE(group, 16 - (tail.length - index) * 2);
  return bytes;
}

function groups(part: string): number[] {
  return part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
}
