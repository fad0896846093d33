import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { loadSecurity } from '#service/identity.ts';
import { makeDirectory } from '#service/make-directory.ts';
import { generateClusterKey, generateSigningKey, loadSigningKey } from '#service/signing.ts';

export const CLUSTER_KEY_FILE = 'cluster.key';
export const ORIGIN_KEY_FILE = 'origin.key';

/**
 * Writes a cluster key and an origin's signing key (0600); a key that is there is read instead and must be whole.
 * @returns the signing key's public key, 32 bytes as base64.
 */
export async function writeKeys(directory: string): Promise<string> {
  await makeDirectory(directory, 0o700);
  const clusterKey = join(directory, CLUSTER_KEY_FILE);
  if (!(await writeNew(clusterKey, `${generateClusterKey()}\n`)))
    loadSecurity({ security: 'cluster-key', clusterKeyFile: clusterKey });
  return writeSigningKey(join(directory, ORIGIN_KEY_FILE));
}

/** @returns the public key, 32 bytes as base64. */
export async function writeSigningKey(path: string): Promise<string> {
  const fresh = generateSigningKey();
  const pem = fresh.privateKey.export({ format: 'pem', type: 'pkcs8' });
  const key = (await writeNew(path, pem)) ? fresh : loadSigningKey(path);
  return key.publicKey.toString('base64');
}

/** @returns false when there is such a file already. */
async function writeNew(path: string, content: string | Buffer): Promise<boolean> {
  try {
    await writeFile(path, content, { mode: 0o600, flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
