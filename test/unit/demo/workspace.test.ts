import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openWorkspace } from '../../../demo/workspace.ts';

test("the demo's directory is gone after its scope, with what is in it", async () => {
  let path: string;
  {
    await using workspace = await openWorkspace(1000);
    ({ path } = workspace);
    await writeFile(join(path, 'file'), 'x');
  }
  expect(existsSync(path)).toBe(false);
});

test('a disk without room is told before anything is written', async () => {
  await expect(openWorkspace(1e18)).rejects.toThrow(/needs 1000000\.0 TB in .* --image-size/);
});
