import type { DemoOutcome } from './run-demo.ts';

/** A blob crosses once; the hundredth is for what a connection that was lost had sent. */
const MAX_CROSSINGS = 1.01;

/** In what the demo did not show what it is to show; for people. */
export function findFaults({ result, failures }: DemoOutcome): string[] {
  const { nodes, maxCrossings } = result;
  const faults = [...failures];
  const wrong = nodes.filter((node) => !node.verified).length;
  if (nodes.length === 0) faults.push('no node pulled');
  if (wrong > 0)
    faults.push(`${wrong} of ${nodes.length} nodes have not got the image as its sha256 digests say`);
  if (maxCrossings > MAX_CROSSINGS)
    faults.push(`a blob crossed the link ${maxCrossings.toFixed(3)} times; ${MAX_CROSSINGS} is allowed`);
  return faults;
}
