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
  const signingKeyFiles: string[] = [];
  const trustedOriginKeys: string[] = [];
  for (let index = 0; index < origins; index++) {
    const out = join(directory, `keys-${index}`);
    const printed = await shoal(['keygen', '--out', out]);
    trustedOriginKeys.push(...(/^trustedOriginKeys: \["(.+)"\]$/m.exec(printed)?.slice(1) ?? []));
    signingKeyFiles.push(join(out, 'origin.key'));
  }
  return { clusterKeyFile: join(directory, 'keys-0', 'cluster.key'), signingKeyFiles, trustedOriginKeys };
}
