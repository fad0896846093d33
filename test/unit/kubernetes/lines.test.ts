import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { readLines } from '#kubernetes/lines.ts';

async function* chunksOf(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  places.sort((a, b) => a - b);
  for (const [index, place] of places.slice(0, -1).entries()) yield bytes.subarray(place, places[index + 1]);
}

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test('lines come whole however the stream was cut, also through a character', async () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' '));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat()), async (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      expect(await collect(readLines(chunksOf(bytes, cuts), 10_000))).toEqual(lines);
    }),
  );
});

test('a last line without an end counts too', async () => {
  expect(await collect(readLines(chunksOf(Buffer.from('a\nb'), [1, 2]), 10))).toEqual(['a', 'b']);
});

test('a line that is too long ends the stream before it takes memory', async () => {
  let given = 0;
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      given += 1;
      yield Buffer.alloc(100, 'x');
    }
  }
  await expect(collect(readLines(endless(), 1000))).rejects.toThrow('longer than 1000 bytes');
  expect(given).toBe(11);
});
