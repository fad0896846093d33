import { expect, test } from 'vitest';
import { makeImage } from '../../../demo/image.ts';
import { chooseLayers } from '../../../demo/layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test("the demo's image has the size asked for, in several layers, with this project's own files", async () => {
  await using dir = await temporaryDirectory('layers');
  const size = 8e6;
  const layers = await chooseLayers(size);
  const image = await makeImage({ dir: dir.path, layers });
  expect(image.totalBytes).toBeGreaterThanOrEqual(size);
  expect(image.totalBytes).toBeLessThan(size * 1.2);
  expect(image.layers.length).toBeGreaterThan(4);
  const names = layers.flatMap((layer) =>
    typeof layer === 'object' && 'files' in layer ? layer.files.map((file) => file.name) : [],
  );
  expect(names).toContain('app/registry/digest.ts');
  expect(names.some((name) => name.startsWith('app/node_modules/'))).toBe(true);
});
