import { open } from 'node:fs/promises';
import { deterministicChunks } from './generated-bytes.ts';

const BLOCK = 512;
const READ_BYTES = 256 * 1024;
const MAX_SIZE = 8 ** 11 - 1;

/** Where a file's bytes come from; `size` is what the header will say, and a file on disk must keep to it. */
type FileSource =
  | { kind: 'bytes'; bytes: Uint8Array }
  | { kind: 'disk'; path: string; size: number }
  | { kind: 'generated'; seed: string; size: number };

/** Names are relative to the root of the archive, without a leading or trailing slash. */
export type TarEntry =
  | { type: 'directory'; name: string }
  | { type: 'symlink'; name: string; target: string }
  | { type: 'file'; name: string; mode?: number; source: FileSource };

/**
 * A POSIX.1-1988 ustar archive as a stream of chunks; names longer than ustar's fields go into a pax record.
 * Owner 0:0 and time 0, so that equal entries make equal bytes.
 * @throws Error for a file over 8 GiB or one that changed its size meanwhile.
 */
export async function* tarStream(entries: Iterable<TarEntry>): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    yield header(entry);
    if (entry.type === 'file') yield* contents(entry.source);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function sizeOfSource(source: FileSource): number {
  return source.kind === 'bytes' ? source.bytes.length : source.size;
}

async function* contents(source: FileSource): AsyncGenerator<Buffer> {
  const size = sizeOfSource(source);
  if (source.kind === 'bytes') yield Buffer.from(source.bytes);
  else if (source.kind === 'generated') yield* deterministicChunks(source.seed, size);
  else yield* readExactly(source.path, size);
  if (size % BLOCK !== 0) yield Buffer.alloc(BLOCK - (size % BLOCK));
}

async function* readExactly(path: string, size: number): AsyncGenerator<Buffer> {
  await using file = await open(path);
  for (let at = 0; at < size;) {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) throw new Error(`${path} ended at ${at} bytes while ${size} were promised`);
    yield chunk.subarray(0, bytesRead);
    at += bytesRead;
  }
}

function header(entry: TarEntry): Buffer {
  const name = entry.type === 'directory' ? `${entry.name}/` : entry.name;
  const size = entry.type === 'file' ? sizeOfSource(entry.source) : 0;
  if (size > MAX_SIZE) throw new Error(`${name} is ${size} bytes; ustar holds at most ${MAX_SIZE}`);
  const target = entry.type === 'symlink' ? entry.target : '';
  if (Buffer.byteLength(target) > 100) throw new Error(`link target of ${name} is longer than 100 bytes`);
  const mode = entry.type === 'file' ? (entry.mode ?? 0o644) : 0o755;
  const flag = { file: '0', symlink: '2', directory: '5' }[entry.type];
  const split = splitName(name);
  if (split !== undefined) return block({ ...split, mode, size, flag, target });
  const record = paxRecord('path', name);
  const short = { prefix: '', name: Buffer.from(name).subarray(0, 99).toString('latin1') };
  return Buffer.concat([
    block({ prefix: '', name: 'pax_header', mode: 0o644, size: record.length, flag: 'x', target: '' }),
    record,
    Buffer.alloc((BLOCK - (record.length % BLOCK)) % BLOCK),
    block({ ...short, mode, size, flag, target }),
  ]);
}

interface HeaderFields {
  prefix: string;
  name: string;
  mode: number;
  size: number;
  flag: string;
  target: string;
}

function block({ prefix, name, mode, size, flag, target }: HeaderFields): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  bytes.write(name, 0, 100);
  bytes.write(octal(mode, 8), 100);
  bytes.write(octal(0, 8), 108);
  bytes.write(octal(0, 8), 116);
  bytes.write(octal(size, 12), 124);
  bytes.write(octal(0, 12), 136);
  bytes.write(' '.repeat(8), 148);
  bytes.write(flag, 156);
  bytes.write(target, 157, 100);
  bytes.write('ustar\x0000', 257, 'latin1');
  bytes.write(octal(0, 8), 329);
  bytes.write(octal(0, 8), 337);
  bytes.write(prefix, 345, 155);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}

/** ustar holds 100 bytes of name and, before a slash, 155 of prefix; undefined if the name does not fit. */
function splitName(name: string): { prefix: string; name: string } | undefined {
  if (Buffer.byteLength(name) <= 100) return { prefix: '', name };
  for (let at = name.indexOf('/'); at !== -1; at = name.indexOf('/', at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(prefix) > 155) return undefined;
    if (rest !== '' && Buffer.byteLength(rest) <= 100) return { prefix, name: rest };
  }
  return undefined;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits (POSIX.1-2001 pax). */
function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest);
  while (Buffer.byteLength(`${length}${rest}`) !== length) length = Buffer.byteLength(`${length}${rest}`);
  return Buffer.from(`${length}${rest}`);
}
