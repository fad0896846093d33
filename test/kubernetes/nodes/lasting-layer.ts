import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { type Image, type LayerSpec, makeImage } from '../../../demo/image.ts';
import { run } from '../../runtimes/program.ts';

const BUSYBOX = '/bin/busybox';
/** In the place of the demo image's entrypoint, which prints a line and ends. */
const SCRIPT = `#!${BUSYBOX} sh
trap 'exit 0' TERM INT
while :; do ${BUSYBOX} sleep 3600 & wait; done
`;

/** A layer by which an image of the demo runs until it is stopped. */
export async function lastingLayer(): Promise<Exclude<LayerSpec, number>> {
  const { size } = await stat(BUSYBOX);
  return {
    files: [
      { type: 'directory', name: 'bin' },
      { type: 'file', name: BUSYBOX.slice(1), mode: 0o755, source: { kind: 'disk', path: BUSYBOX, size } },
      { type: 'file', name: 'hello', mode: 0o755, source: { kind: 'bytes', bytes: Buffer.from(SCRIPT) } },
    ],
  };
}

/** An archive for `ctr images import` with an image that does nothing but last. @returns its path. */
export async function packLastingImage(directory: string, reference: string): Promise<string> {
  const dir = join(directory, 'pause');
  const image: Image = await makeImage({ dir, layers: [await lastingLayer()], seed: reference });
  const archive = join(directory, 'pause.tar');
  await run(['skopeo', 'copy', '--quiet', `oci:${image.dir}`, `oci-archive:${archive}:${reference}`]);
  return archive;
}
