import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { agentOption } from '#cli/agent-url.ts';
import { InterruptedError, UsageError } from '#cli/failure.ts';
import { Mirror } from '#registry/mirror.ts';
import { fetchArtifact } from '#cli/fetch/fetch.ts';
import { formatBytes } from '#cli/format-bytes.ts';
import { parsePlatform } from '#registry/platform.ts';
import type { Platform } from '#registry/platform.ts';
import { createProgress } from '#cli/fetch/progress.ts';
import { describeSources } from '#cli/fetch/sources.ts';
import { CredentialsError, readDockerConfig } from '#registry/credentials.ts';
import type { Credentials } from '#registry/credentials.ts';
import { isDigest } from '#registry/digest.ts';
import { proxySettings } from '#registry/proxy.ts';
import { quote } from '#registry/redact.ts';
import { formatReference, parseReference } from '#registry/reference.ts';
import type { Reference } from '#registry/reference.ts';

interface GetOptions {
  readonly output: string;
  readonly agent: URL;
  readonly from?: string;
  readonly platform?: Platform;
  readonly dockerConfig?: string;
  readonly plainHttp?: string[];
}

export function register(program: Command): void {
  program
    .command('get')
    .description(
      'Fetches an image or artifact through the agent on this machine and verifies every byte of it.',
    )
    .argument('<reference>', 'such as ghcr.io/org/app:1.2, ghcr.io/org/app@sha256:…, or a digest with --from')
    .requiredOption(
      '-o, --output <dir>',
      'directory for the files, or for an OCI layout where the layers have no titles',
    )
    .addOption(agentOption())
    .option('--from <repository>', 'where a bare digest is, such as ghcr.io/org/app')
    .option(
      '--platform <os/arch>',
      "which of an index's images (default: this machine's, on linux)",
      platformArgument,
    )
    .option('--docker-config <file>', 'credentials (default: config.json of docker)')
    .option('--plain-http <host...>', 'token realms that may be asked over plain HTTP')
    .action(get);
}

async function get(text: string, options: GetOptions): Promise<void> {
  const reference = readReference(text, options.from);
  const credentials = await findCredentials(options.dockerConfig);
  const interrupt = new AbortController();
  const stop = (name: NodeJS.Signals): void => interrupt.abort(new InterruptedError(name));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  await using door = new Mirror(reference, {
    agent: options.agent,
    proxy: proxySettings(process.env),
    ...(credentials && { credentials }),
    ...(options.plainHttp && { plainHosts: options.plainHttp }),
  });
  using progress = await createProgress(formatReference(reference), process.stderr);
  const startedAt = performance.now();
  const fetched = await fetchArtifact(door, {
    reference,
    directory: options.output,
    progress,
    signal: interrupt.signal,
    ...(options.platform && { platform: options.platform }),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const share = describeSources(fetched.sources);
  const what = fetched.form === 'files' ? 'files' : 'blobs of an OCI layout';
  process.stdout.write(
    `${fetched.digest}: ${fetched.blobs} ${what}, ${formatBytes(fetched.bytes)} in ${seconds} s${share === undefined ? '' : ` (${share})`}\n`,
  );
}

function readReference(text: string, from: string | undefined): Reference {
  if (/^https?:\/\//u.test(text))
    throw new UsageError(
      `a reference has no scheme: ${quote(text.slice(text.indexOf('//') + 2))} is allowed`,
    );
  if (!isDigest(text)) return parseReference(text);
  if (from === undefined)
    throw new UsageError(
      'a digest alone does not say where it is: add --from, such as --from ghcr.io/org/app',
    );
  return parseReference(`${from}@${text}`);
}

/** Docker's file where there is one; a file that was named must be there. */
async function findCredentials(named: string | undefined): Promise<Credentials | undefined> {
  if (named !== undefined) return readDockerConfig(named);
  const path = join(process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'), 'config.json');
  try {
    return await readDockerConfig(path);
  } catch (error) {
    const cause = error instanceof CredentialsError ? error.cause : undefined;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw error;
  }
}

function platformArgument(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform) return platform;
  throw new InvalidArgumentError(
    'os/architecture or os/architecture/variant is allowed, such as linux/arm64',
  );
}
