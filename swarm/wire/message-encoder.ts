import type { BlockRef } from './wire.ts';

/** Message ids of BEP 3, 6 and 10. */
export const MESSAGE = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  uninterested: 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  haveAll: 14,
  haveNone: 15,
  reject: 16,
  extended: 20,
} as const;

const KEEP_ALIVE = Buffer.alloc(4);

/** Length prefix zero (BEP 3). */
export function encodeKeepAlive(): Buffer {
  return KEEP_ALIVE;
}

/** A message that is its id alone: choke, unchoke, interested, uninterested, have all, have none. */
export function encodeSignal(id: number): Buffer {
  return head(id, 5, 0);
}

export function encodeHave(index: number): Buffer {
  const message = head(MESSAGE.have, 9, 0);
  message.writeUInt32BE(index, 5);
  return message;
}

/** Request, cancel or reject. */
export function encodeBlockRef(id: number, block: BlockRef): Buffer {
  const message = head(id, 17, 0);
  message.writeUInt32BE(block.index, 5);
  message.writeUInt32BE(block.offset, 9);
  message.writeUInt32BE(block.length, 13);
  return message;
}

/** What goes before the bytes of a block. */
export function encodePieceHead(block: BlockRef): Buffer {
  const message = head(MESSAGE.piece, 13, block.length);
  message.writeUInt32BE(block.index, 5);
  message.writeUInt32BE(block.offset, 9);
  return message;
}

/** What goes before the bytes of a bitfield. */
export function encodeBitfieldHead(bytes: number): Buffer {
  return head(MESSAGE.bitfield, 5, bytes);
}

/** What goes before the payload of a BEP 10 message. */
export function encodeExtendedHead(extendedId: number, bytes: number): Buffer {
  const message = head(MESSAGE.extended, 6, bytes);
  message[5] = extendedId;
  return message;
}

/** From Node's pool, so that a message costs no allocation of its own. */
function head(id: number, bytes: number, payload: number): Buffer {
  const message = Buffer.allocUnsafe(bytes);
  message.writeUInt32BE(bytes - 4 + payload, 0);
  message[4] = id;
  return message;
}
