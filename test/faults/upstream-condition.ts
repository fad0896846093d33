/** How an upstream registry is, from now on and for the answers under way. */
export type Condition =
  | { readonly kind: 'well' }
  /** Connections are cut, new ones refused. */
  | { readonly kind: 'gone' }
  /** All answers together. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Each answer is cut after so many more bytes. */
  | { readonly kind: 'closing'; readonly afterBytes: number }
  /** Answers under way are cut, new requests get this. */
  | { readonly kind: 'status'; readonly status: 429 | 500 }
  /** Each answer declares itself complete after so many bytes; those under way are cut. */
  | { readonly kind: 'truncated'; readonly afterBytes: number }
  /** Every 64 KiB one byte is inverted. */
  | { readonly kind: 'wrong' };
