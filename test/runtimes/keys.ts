import { join } from 'node:path';
import { shoal } from './shoal.ts';

export interface Keys {
  clusterKeyFile: string;
  signingKeyFiles: string[];
  /** The public halves, as `trustedOriginKeys` takes them. */
  trustedOriginKeys: string[];
}

/** A cluster key and one signing key per origin, made as an operator makes them. */
export async function makeKeys(directory: string, origins: number): Promise<Keys> {
  const clusterKeyFile = join(directory, 'cluster.key');
  await shoal(['keygen', 'cluster', '--out', clusterKeyFile]);
  const signingKeyFiles: string[] = [];
  const trustedOriginKeys: string[] = [];
  for (let index = 0; index < origins; index++) {
    const file = join(directory, `origin-${index}.pem`);
    trustedOriginKeys.push((await shoal(['keygen', 'origin', '--out', file])).trim());
    signingKeyFiles.push(file);
  }
  return { clusterKeyFile, signingKeyFiles, trustedOriginKeys };
}
