/**
 * The lines of a byte stream, without their ends; a last one without an end counts too.
 * @throws Error for a line longer than `limit` bytes
 */
export async function* readLines(body: AsyncIterable<Buffer>, limit: number): AsyncGenerator<string> {
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, from)) {
      yield Buffer.concat([...waiting, chunk.subarray(from, end)]).toString('utf8');
      waiting = [];
      length = 0;
      from = end + 1;
    }
    const rest = chunk.subarray(from);
    length += rest.length;
    if (length > limit) throw new Error(`a line is longer than ${limit} bytes`);
    if (rest.length > 0) waiting.push(rest);
  }
  if (length > 0) yield Buffer.concat(waiting).toString('utf8');
}
