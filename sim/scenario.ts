/** Ethernet, IP, TCP and the wire's own heads: measured on the rig, one stream of 1,500-byte packets. */
export const WIRE_OVERHEAD = 1.045;

/** One host's links, in bytes per second. */
export interface Rates {
  readonly up: number;
  readonly down: number;
}

export interface Pull {
  /** Index into `agents`. */
  readonly agent: number;
  /** Index into `blobs`. */
  readonly blob: number;
  /** When its runtime asks for it. Seconds. */
  readonly at: number;
}

export type Failure =
  /** A machine is gone: nobody is told. */
  | { readonly kind: 'agent-dies'; readonly at: number; readonly agent: number }
  /** The owner of a blob is killed: its kernel resets its connections. */
  | { readonly kind: 'owner-killed'; readonly at: number; readonly blob: number }
  | { readonly kind: 'tracker-away'; readonly at: number; readonly seconds: number };

/** What is simulated. Bytes and bytes per second are real ones, whatever the scale. */
export interface Scenario {
  readonly name: string;
  readonly agents: readonly Rates[];
  readonly origins: readonly Rates[];
  /** Agents are dealt to this many zones in turn; each zone's link to the others carries so much each way. */
  readonly zones?: { readonly count: number; readonly link: number };
  /** Bytes of each. */
  readonly blobs: readonly number[];
  readonly pulls: readonly Pull[];
  /** Agents that hold blobs from the start. */
  readonly holders: readonly Omit<Pull, 'at'>[];
  /** Origins have nothing at first and read from upstream at this rate; undefined: each blob's owner has it. */
  readonly coldFrom?: number;
  /** The rate at which an origin that takes over reads from upstream. */
  readonly upstream: number;
  readonly failures: readonly Failure[];
  /** How times are told: of all that an agent pulls (an image), or of each blob by itself. */
  readonly per: 'image' | 'blob';
  /**
   * Real bytes per simulated byte. Pieces have the real number of simulated bytes, so they are coarser by as much
   * (less what the real length grows with the blob), and so are blocks.
   */
  readonly scale: number;
  /** Simulated bytes of a block. */
  readonly blockLength: number;
  /** Knob `peer.maxPeersPerSwarm`. */
  readonly maxPeers: number;
  /** How often link shares are worked out at most; 0: whenever anything changes. Milliseconds. */
  readonly grainMs: number;
  /** Between hosts of one zone, and of two. Milliseconds. */
  readonly rttMs: { readonly near: number; readonly far: number };
  /** Given up then. Seconds. */
  readonly limit: number;
}
