import { stat } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { fillDisk } from '../../faults/damage.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a disk is filled no further once the run is stopped, and the file goes', async () => {
  await using directory = await temporaryDirectory('disk');
  const stop = new AbortController();
  const filling = fillDisk(directory.path, stop.signal);
  setImmediate(() => stop.abort(new Error('stopped by SIGINT')));
  const mend = await filling;
  const { size } = await stat(directory.join('filler'));
  expect(size).toBeLessThan(2 ** 30);
  await mend();
  await expect(stat(directory.join('filler'))).rejects.toThrow('ENOENT');
});
