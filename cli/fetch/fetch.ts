import type { Digest } from '#registry/digest.ts';
import { describeError } from '#registry/redact.ts';
import { formatReference } from '#registry/reference.ts';
import type { Reference } from '#registry/reference.ts';
import { resultError } from '#registry/upstream-answer.ts';
import type { Refused, Unreachable } from '#registry/upstream-answer.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from '#registry/upstream-error.ts';
import { describeUpstreamFault } from '#registry/upstream-fault.ts';

import { makeDirectory } from '#service/make-directory.ts';
import { inParallel } from '#service/parallel.ts';

import { fetchBlobFile, holdsBlob } from './blob-file.ts';
import type { Mirror } from '#registry/mirror.ts';
import { FetchError } from './fetch-error.ts';
import { addToLayout, layoutBlobPath, prepareLayout, writeWhole } from './layout.ts';
import type { Descriptor } from '#registry/image-manifest.ts';
import { findImage } from '#registry/image-search.ts';
import type { FoundImage, ImageWish } from '#registry/image-search.ts';
import { formatPlatform, hostPlatform } from '#registry/platform.ts';
import type { Platform } from '#registry/platform.ts';
import type { Progress } from './progress.ts';
import { addSources, describeSources, noSources, readSources, sourcesSince } from './sources.ts';
import type { Sources } from './sources.ts';
import { prepareTitledPath, titledBlobs } from './title.ts';

export interface FetchOptions {
  readonly reference: Reference;
  readonly directory: string;
  readonly platform?: Platform;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface Fetched {
  /** Of the manifest that was fetched. */
  readonly digest: Digest;
  /** `files`: named by their titles. `layout`: an OCI image layout. */
  readonly form: 'files' | 'layout';
  readonly blobs: number;
  readonly bytes: number;
  readonly sources: Sources;
}

const PARALLEL_BLOBS = 3;
const MESSAGE_LIMIT = 1000;

/**
 * Fetches an image or artifact through the door into a directory: files by their titles where its layers have them,
 * else an OCI image layout. Everything is verified by digest before it is in place.
 * @throws FetchError, ManifestError, UpstreamRefusedError, UpstreamUnreachableError, the signal's reason.
 */
export async function fetchArtifact(door: Mirror, options: FetchOptions): Promise<Fetched> {
  const { reference, directory, progress, signal } = options;
  const found = await findImage(door, imageWish(door, options), signal);
  const titled = titledBlobs(found.image.layers);
  noteForeign(found.platform, options);
  await makeDirectory(directory);
  const form = titled.length > 0 ? 'files' : 'layout';
  const jobs = form === 'files' ? await fileJobs(directory, titled) : await layoutJobs(directory, found);
  const bytes = jobs.reduce((sum, { blob }) => sum + blob.size, 0);
  progress.begin(bytes);
  const sources = await runJobs(door, jobs, progress, signal);
  if (form === 'layout') await addToLayout(directory, layoutEntry(found, reference));
  return { digest: found.digest, form, blobs: jobs.length, bytes, sources };
}

function imageWish({ target }: Mirror, { reference, platform }: FetchOptions): ImageWish {
  return {
    reference: reference.digest ?? reference.tag ?? 'latest',
    ...(platform && { platform }),
    failure: (result) => refusedLogin(reference.registry, result) ?? doorError(target.registry, result),
  };
}

/** No credential is there for the registry, or it is not taken. */
function refusedLogin(registry: string, result: Refused | Unreachable): Error | undefined {
  if (result.status !== 401) return undefined;
  return new FetchError(
    `${registry} answered 401: it wants a login, or another one. Logins are read from docker's config.json ("docker login ${registry}") or from --docker-config`,
  );
}

/** Nobody at the door is another matter than a registry behind it that says no. */
function doorError(door: string, result: Refused | Unreachable): Error {
  const error = resultError(`the agent at ${door}`, result);
  if (error instanceof UpstreamProtocolError && error.plainHost !== undefined)
    return new FetchError(
      `${error.plainHost} would have to be asked over plain HTTP: if it is to, add --plain-http ${error.plainHost}`,
      { cause: error },
    );
  if (!(error instanceof UpstreamUnreachableError) || error.status !== undefined) return error;
  const { host = door } = error;
  if (host !== door) {
    const fault = describeUpstreamFault(error) ?? 'it cannot be reached';
    return new FetchError(`${host}, which the registry asks for a token at, gave none: ${fault}`, {
      cause: error,
    });
  }
  return new FetchError(`nothing answers at ${door}: is the agent running? (${error.message})`, {
    cause: error,
  });
}

/** Of a connection that broke, what happened to it; else what the agent says. */
function whyBroken(cause: unknown): string {
  const isAnswer = cause instanceof UpstreamUnreachableError && cause.status !== undefined;
  const fault = isAnswer ? undefined : describeUpstreamFault(cause);
  return fault === undefined ? describeError(cause, MESSAGE_LIMIT) : `the agent: ${fault}`;
}

/** Where an index has nothing else, an image of another platform is taken: whoever wants to run it here has to know. */
function noteForeign(taken: Platform | undefined, { platform, progress }: FetchOptions): void {
  const host = hostPlatform();
  if (platform !== undefined || taken === undefined) return;
  if (taken.os === host.os && taken.architecture === host.architecture) return;
  progress.note(
    `taken for ${formatPlatform(taken)}, which is all that there is; this machine is ${formatPlatform(host)}`,
  );
}

interface Job {
  readonly blob: Descriptor;
  readonly name: string;
  readonly path: string;
}

async function fileJobs(directory: string, titled: ReturnType<typeof titledBlobs>): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const { descriptor, path } of titled)
    jobs.push({ blob: descriptor, name: path, path: await prepareTitledPath(directory, path) });
  return jobs;
}

async function layoutJobs(directory: string, { digest, bytes, image }: FoundImage): Promise<Job[]> {
  await prepareLayout(directory);
  await writeWhole(layoutBlobPath(directory, digest), bytes);
  const unique = new Map([image.config, ...image.layers].map((blob) => [blob.digest, blob]));
  return [...unique.values()].map((blob) => ({
    blob,
    name: blob.digest,
    path: layoutBlobPath(directory, blob.digest),
  }));
}

function layoutEntry({ digest, bytes, image }: FoundImage, reference: Reference) {
  const annotations = {
    'io.containerd.image.name': formatReference(reference),
    'org.opencontainers.image.ref.name': reference.tag ?? digest,
  };
  return { mediaType: image.mediaType, digest, size: bytes.length, annotations };
}

/** A few blobs at a time; the first failure ends the others. */
async function runJobs(
  door: Mirror,
  jobs: readonly Job[],
  progress: Progress,
  signal: AbortSignal,
): Promise<Sources> {
  const sources = noSources();
  const run = (job: Job, either: AbortSignal): Promise<void> => runJob(door, job, progress, sources, either);
  await inParallel(jobs, run, { limit: PARALLEL_BLOBS, signal });
  return sources;
}

async function runJob(
  door: Mirror,
  { blob, name, path }: Job,
  progress: Progress,
  sources: Sources,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (await holdsBlob(path, blob)) {
    progress.advance(blob.size);
    progress.finished(name, blob.size, 'there already');
    return;
  }
  const before = await readSources(door, blob.digest, signal);
  const watcher = {
    arrived: (bytes: number) => progress.advance(bytes),
    broke: (cause: unknown) => progress.retrying(name, whyBroken(cause)),
  };
  await fetchBlobFile(door, blob, path, watcher, signal);
  const after = before && (await readSources(door, blob.digest, signal));
  const own = after && sourcesSince(before, after);
  if (own) addSources(sources, own);
  progress.finished(name, blob.size, own && describeSources(own));
}
