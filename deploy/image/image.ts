import { Command } from 'commander';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { readDockerConfig } from '#registry/credentials.ts';
import { Hosts } from '#registry/hosts.ts';
import { proxySettings } from '#registry/proxy.ts';
import { parseReference } from '#registry/reference.ts';

import { buildImage } from './build.ts';
import { Pusher } from './push.ts';
import { readSource } from './source.ts';
import { updateBaseLock } from './update.ts';

/** `npm run image`: builds the container image without a container engine, and pushes it. */

interface Options {
  readonly output: string;
  readonly push?: string;
  readonly plainHttp?: boolean;
  readonly updateBase?: boolean;
}

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(PROJECT, '.cache', 'image');

const PUSH_TIMEOUT_MS = 30 * 60_000;

const say = (text: string): void => void process.stderr.write(`image: ${text}\n`);

await new Command('image')
  .description('Builds the container image for linux/amd64 and linux/arm64 as an OCI layout.')
  .option('--output <dir>', 'directory of the layout', join(CACHE, 'layout'))
  .option('--push <reference>', 'also to a registry, such as registry.example.com/shoal:0.1.0')
  .option('--plain-http', 'the registry speaks plain HTTP')
  .option('--update-base', "first pins Debian's newest libraries and package-lock.json's Node in base.json")
  .action(async ({ output, push, plainHttp = false, updateBase = false }: Options) => {
    if (updateBase) await updateBaseLock(PROJECT, CACHE);
    const source = await readSource(PROJECT, process.env);
    const index = await buildImage({ source, output, cache: CACHE, say });
    if (push !== undefined) await pushTo(push, output, plainHttp);
    process.stdout.write(`${index.digest}\n`);
  })
  .parseAsync();

async function pushTo(text: string, output: string, plainHttp: boolean): Promise<void> {
  const reference = parseReference(text);
  const { registry, tag = 'latest' } = reference;
  const scheme = plainHttp ? { [registry]: { endpoint: `http://${registry}`, plainHttp } } : {};
  await using hosts = new Hosts(scheme, { proxy: proxySettings(process.env) });
  const config = join(process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'), 'config.json');
  const credentials = await readDockerConfig(config).catch(() => undefined);
  const signal = AbortSignal.timeout(PUSH_TIMEOUT_MS);
  say(`push to ${registry}`);
  await new Pusher(reference, { hosts, credential: credentials?.lookup(registry), signal }).push(output, tag);
}
