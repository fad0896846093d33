const SAMPLE_BYTES = 24;
const SAMPLES = 512;

/** How many of the short runs, spread over a body, are in the content that its reader must not see. */
export function leakedSamples(body: Buffer, content: Buffer): number {
  let found = 0;
  const step = Math.max(SAMPLE_BYTES, Math.floor(body.length / SAMPLES));
  for (let at = 0; at + SAMPLE_BYTES <= body.length; at += step)
    if (content.includes(body.subarray(at, at + SAMPLE_BYTES))) found += 1;
  return found;
}
