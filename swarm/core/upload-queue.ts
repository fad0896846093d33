import type { Block } from './piece-table.ts';

/**
 * Takes out of `queue` what is to be sent next: of what a peer waits for, the piece that the fewest have, since it
 * can pass that on to the most; the oldest request of equals.
 * @param queue requests, oldest first; not empty
 * @param availability how many peers have each piece; a request may name one that does not exist
 */
export function takeRarest(queue: Block[], availability: Uint16Array): Block {
  const copies = ({ index }: Block): number => availability[index] ?? 0;
  let best = 0;
  for (let at = 1; at < queue.length; at++) if (copies(queue[at]!) < copies(queue[best]!)) best = at;
  return queue.splice(best, 1)[0]!;
}
