import type { Command } from 'commander';
import { join } from 'node:path';

import { CLUSTER_KEY_FILE, ORIGIN_KEY_FILE, writeKeys } from '#cli/keys.ts';

export function register(program: Command): void {
  program
    .command('keygen')
    .description('Makes a cluster key and an origin signing key; keys that are there already are kept.')
    .requiredOption('--out <dir>', 'directory for the two key files (mode 0600)')
    .action(async ({ out }: { out: string }) => {
      const publicKey = await writeKeys(out);
      process.stderr.write(
        `cluster key: ${join(out, CLUSTER_KEY_FILE)} (clusterKeyFile of every part)\n` +
          `signing key: ${join(out, ORIGIN_KEY_FILE)} (signingKeyFile of the origin); its public key goes to every agent and origin:\n`,
      );
      process.stdout.write(`trustedOriginKeys: ["${publicKey}"]\n`);
    });
}
