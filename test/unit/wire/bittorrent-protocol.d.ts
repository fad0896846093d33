/** The part of the stock codec that tests and measurements use; the package has no types of its own. */
declare module 'bittorrent-protocol' {
  import type { Duplex } from 'node:stream';

  type Respond = (error: Error | null, bytes?: Uint8Array) => void;

  interface WireEvents {
    handshake: [infoHash: string, peerId: string, extensions: { extended: boolean; fast: boolean }];
    extended: [name: string, message: Record<string, unknown>];
    choke: [];
    unchoke: [];
    interested: [];
    uninterested: [];
    have: [index: number];
    bitfield: [bits: { get(index: number): boolean }];
    'have-all': [];
    'have-none': [];
    reject: [index: number, offset: number, length: number];
    request: [index: number, offset: number, length: number, respond: Respond];
    cancel: [index: number, offset: number, length: number];
    close: [];
  }

  export default class Protocol extends Duplex {
    hasFast: boolean;
    peerChoking: boolean;
    peerExtendedMapping: Record<string, number>;
    peerExtendedHandshake: Record<string, unknown>;
    handshake(infoHash: Uint8Array, peerId: Uint8Array, extensions?: { fast?: boolean; dht?: boolean }): void;
    unchoke(): void;
    choke(): void;
    interested(): void;
    have(index: number): void;
    haveAll(): void;
    bitfield(bits: Uint8Array): void;
    request(index: number, offset: number, length: number, callback: Respond): void;
    cancel(index: number, offset: number, length: number): void;
    extended(extension: number | string, message: unknown): void;
    on<E extends keyof WireEvents>(event: E, listener: (...args: WireEvents[E]) => void): this;
    once<E extends keyof WireEvents>(event: E, listener: (...args: WireEvents[E]) => void): this;
  }
}
