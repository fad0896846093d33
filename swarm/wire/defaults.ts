/** Largest block that strangers may ask for; every stock client asks for exactly this (BEP 3). */
export const STRANGER_BLOCK_LENGTH = 16 * 1024;
/** Largest block between Shoal peers that this side proposes; docs/wire.md has the measurement. */
export const SHOAL_BLOCK_LENGTH = 256 * 1024;
/** Largest block that is ever taken from the network. */
export const MAX_BLOCK_LENGTH = 256 * 1024;
/** Bitfields: 8 Mi pieces, which is 8 TiB at the largest piece length. */
export const MAX_BITFIELD_BYTES = 1024 * 1024;
/** BEP 10 payloads from a peer that proved its membership: a signed batch of 4096 hashes is 128 KiB. */
export const MAX_EXTENSION_BYTES = 1024 * 1024;
/** BEP 10 payloads from a stranger: extended handshakes and ut_metadata requests are far below. */
export const MAX_STRANGER_EXTENSION_BYTES = 64 * 1024;
/** Messages of kinds that Shoal does not know; they are read and dropped. */
export const MAX_UNKNOWN_BYTES = 64 * 1024;

/** Requests that may wait on one wire for their answer; told to the other side as `reqq` (BEP 10). */
export const MAX_WAITING_REQUESTS = 512;
/** `reqq` of a peer that names none (BEP 10's own default). */
export const DEFAULT_REQUEST_QUEUE = 250;

/** `piece()` answers false from here on. */
export const SEND_QUEUE_BYTES = 512 * 1024;
/** A wire with more than this unsent is closed: its reader does not read, and what waits is small messages or a caller that ignores `piece()`'s answer. */
export const MAX_QUEUED_BYTES = 8 * 1024 * 1024;

/** The one buffer that all sockets of the process are read through. */
export const READ_BUFFER_BYTES = 256 * 1024;

/** From the connection's start to the end of the BEP 3 handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A keep-alive is sent after so long without sending anything. */
export const KEEP_ALIVE_MS = 60_000;
/** A wire is closed after so long without hearing anything (BEP 3: two minutes). */
export const IDLE_TIMEOUT_MS = 120_000;
/** Accepted connections that may be in their handshake at once; more are cut at once. */
export const MAX_PENDING_HANDSHAKES = 512;
/** Bytes that may wait while handshakes are made; beyond what is read of them, only a bitfield and the like can have come. */
export const MAX_HELD_BYTES = 64 * 1024;
