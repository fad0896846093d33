import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import type { Dispatcher } from 'undici';

import { ChallengeAnswerer } from '#registry/challenge-answerer.ts';
import type { Credential } from '#registry/credentials.ts';
import type { Hosts } from '#registry/hosts.ts';
import type { Reference } from '#registry/reference.ts';
import { TokenSource } from '#registry/token-source.ts';
import { Transport } from '#registry/transport.ts';

/** The registry did not take the image. */
class PushError extends Error {
  override readonly name = 'PushError';
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Of an image, or of an index, which has manifests instead of layers. */
interface Manifest {
  readonly manifests?: Descriptor[];
  readonly config?: Descriptor;
  readonly layers?: Descriptor[];
}

interface Body {
  readonly bytes: () => Dispatcher.DispatchOptions['body'];
  readonly headers: Readonly<Record<string, string>>;
}

const ERROR_CHARACTERS = 500;

/** Pushes an OCI layout: blobs first, each only where it is missing, then manifests, the index with the tag last (distribution-spec, Push). */
export class Pusher {
  readonly #hosts: Hosts;
  readonly #answerer: ChallengeAnswerer;
  readonly #wish: { registry: string; scope: string; credential?: Credential };
  readonly #base: URL;
  readonly #signal: AbortSignal;

  constructor(
    { registry, repository }: Reference,
    parts: { hosts: Hosts; credential: Credential | undefined; signal: AbortSignal },
  ) {
    const { hosts, credential, signal } = parts;
    this.#hosts = hosts;
    this.#signal = signal;
    this.#answerer = new ChallengeAnswerer({
      tokens: new TokenSource({ transport: new Transport({ hosts }) }),
    });
    this.#wish = { registry, scope: `repository:${repository}:pull,push`, ...(credential && { credential }) };
    this.#base = new URL(`v2/${repository}/`, hosts.endpoint(registry));
  }

  /** @throws PushError */
  async push(layout: string, tag: string): Promise<void> {
    const top: { manifests: Descriptor[] } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
    for (const entry of top.manifests) await this.#pushTree(layout, entry, tag);
  }

  async #pushTree(layout: string, entry: Descriptor, reference: string): Promise<void> {
    const bytes = await readFile(fileOf(layout, entry));
    const { manifests = [], config, layers = [] }: Manifest = JSON.parse(bytes.toString('utf8'));
    for (const inner of manifests) await this.#pushTree(layout, inner, inner.digest);
    for (const blob of config ? [config, ...layers] : []) await this.#pushBlob(layout, blob);
    const headers = { 'content-type': entry.mediaType };
    await this.#expect(201, 'PUT', new URL(`manifests/${reference}`, this.#base), {
      bytes: () => bytes,
      headers,
    });
  }

  async #pushBlob(layout: string, blob: Descriptor): Promise<void> {
    const { statusCode, body } = await this.#send('HEAD', new URL(`blobs/${blob.digest}`, this.#base));
    await body.dump();
    if (statusCode === 200) return;
    const opened = await this.#expect(202, 'POST', new URL('blobs/uploads/', this.#base));
    const location = new URL(String(opened.headers['location']), this.#base);
    location.searchParams.set('digest', blob.digest);
    await this.#expect(201, 'PUT', location, {
      bytes: () => createReadStream(fileOf(layout, blob)),
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.size) },
    });
  }

  async #expect(
    status: number,
    method: Dispatcher.HttpMethod,
    url: URL,
    body?: Body,
  ): Promise<Dispatcher.ResponseData> {
    const answer = await this.#send(method, url, body);
    const text = await answer.body.text();
    if (answer.statusCode === status) return answer;
    throw new PushError(
      `${method} ${url.origin}${url.pathname}: ${answer.statusCode} instead of ${status}: ${text.slice(0, ERROR_CHARACTERS)}`,
    );
  }

  /** Once more with the answer to a 401's challenge. */
  async #send(method: Dispatcher.HttpMethod, url: URL, body?: Body): Promise<Dispatcher.ResponseData> {
    const before = await this.#answerer.before(this.#wish, this.#signal);
    const answer = await this.#ask(method, url, before, body);
    if (answer.statusCode !== 401) return answer;
    const challenges = [answer.headers['www-authenticate'] ?? []].flat();
    const after = await this.#answerer.after(challenges, this.#wish, before, this.#signal);
    if (after === undefined) return answer;
    await answer.body.dump();
    return this.#ask(method, url, after, body);
  }

  /** An upload may be taken by another host, which gets no credential. */
  #ask(
    method: Dispatcher.HttpMethod,
    url: URL,
    authorization: string | undefined,
    body: Body | undefined,
  ): Promise<Dispatcher.ResponseData> {
    if (!this.#hosts.allows(url))
      throw new PushError(`${url.origin} is plain HTTP: name it with --plain-http`);
    const isOwn = url.origin === this.#base.origin;
    const headers = { ...body?.headers, ...(isOwn && authorization !== undefined && { authorization }) };
    const dispatcher = this.#hosts.dispatcher(url);
    return request(url, { method, headers, body: body?.bytes() ?? null, dispatcher, signal: this.#signal });
  }
}

function fileOf(layout: string, { digest }: Descriptor): string {
  return join(layout, 'blobs', ...digest.split(':'));
}
