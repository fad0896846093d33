import type { Digest } from '#registry/digest.ts';

/** What an origin says of a manifest or blob: its registry delivered it, or proved to have it, under that repository. */
export type Answer =
  | {
      readonly kind: 'bytes';
      readonly digest: Digest;
      readonly bytes: Buffer;
      readonly mediaType: string | undefined;
      /** Upstream has just answered with yes to this very caller. */
      readonly positive: boolean;
    }
  /** The bytes come by the swarm of that scope, which this origin is in. */
  | {
      readonly kind: 'swarm';
      readonly digest: Digest;
      /** Bytes. */
      readonly size: number;
      readonly scope: string;
      /** For want of room some of it is not here any more, nor with any peer: who needs that has it of upstream. */
      readonly hasGaps?: boolean;
      readonly positive: boolean;
    }
  /** A tag stands for it; whether that is held here is not looked at. */
  | { readonly kind: 'named'; readonly digest: Digest; readonly positive: boolean }
  /** Another origin reads it already. */
  | { readonly kind: 'elsewhere'; readonly member: string };
