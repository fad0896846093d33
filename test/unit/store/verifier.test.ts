import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { DataFile } from '#swarm/store/data-file.ts';
import { Verifier } from '#swarm/store/verifier.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';
import { content, MIB, type Content } from './store-fixture.ts';

async function stored(dir: TemporaryDirectory, made: Content): Promise<DataFile> {
  await writeFile(dir.join('blob'), made.bytes);
  return DataFile.open(dir.join('blob'), 'read');
}

test('one who leaves does not stop a verification that others wait for', async () => {
  await using dir = await temporaryDirectory('verifier');
  const made = content('verify', 4 * MIB);
  await using file = await stored(dir, made);
  const verifier = new Verifier();
  const leaving = new AbortController();
  const left = verifier.verify(made.digest, made.bytes.length, file, leaving.signal);
  const waiting = verifier.verify(made.digest, made.bytes.length, file);
  leaving.abort(new Error('gone'));
  await expect(left).rejects.toThrow('gone');
  expect(await waiting).toBe(true);
});

test('a verification that was left by all begins anew for the next', async () => {
  await using dir = await temporaryDirectory('verifier');
  const made = content('verify', 4 * MIB);
  await using file = await stored(dir, made);
  const verifier = new Verifier();
  const leaving = new AbortController();
  const left = verifier.verify(made.digest, made.bytes.length, file, leaving.signal);
  leaving.abort();
  await expect(left).rejects.toThrow(/abort/u);
  expect(await verifier.verify(made.digest, made.bytes.length, file)).toBe(true);
  const stopped = verifier.verify(made.digest, made.bytes.length, file);
  verifier.stop();
  await expect(stopped).rejects.toThrow(/abort/u);
  await expect(verifier.verify(made.digest, 1, file)).rejects.toThrow(/closed/u);
});

test('a file of other bytes, or of fewer, does not pass', async () => {
  await using dir = await temporaryDirectory('verifier');
  const made = content('verify', MIB);
  await using file = await stored(dir, made);
  const verifier = new Verifier();
  const { length } = made.bytes;
  expect(await verifier.verify(content('other', 1).digest, length, file)).toBe(false);
  expect(await verifier.verify(made.digest, length - 1, file)).toBe(false);
  expect(await verifier.verify(made.digest, length + 1, file)).toBe(false);
});
