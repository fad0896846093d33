import { createHash } from 'node:crypto';
import { asError } from '#registry/as-error.ts';
import type { HttpConnection, Response } from './http-connection.ts';

/** Of a refusal's body. */
const KEPT_TEXT_BYTES = 300;

export interface BlobFetch {
  readonly path: string;
  /** What the body must have. */
  readonly digest: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Of the body, as they arrive. */
  readonly onBytes?: (count: number) => void;
}

export interface FetchedBlob {
  readonly bytes: number;
  /** From the request on; undefined for an empty body. */
  readonly firstByteMs: number | undefined;
  readonly totalMs: number;
}

/** GETs a blob and checks its digest. @throws Error that says how it was refused, where it was cut, or what it was instead */
export async function fetchBlob(
  connection: HttpConnection,
  { path, digest, headers = {}, onBytes }: BlobFetch,
): Promise<FetchedBlob> {
  const started = performance.now();
  const hash = createHash('sha256');
  let bytes = 0;
  let firstByteMs: number | undefined;
  let refusal = '';
  const onBody = (part: Uint8Array, { status }: Response): void => {
    if (status !== 200) return void (refusal ||= Buffer.from(part).toString('utf8', 0, KEPT_TEXT_BYTES));
    firstByteMs ??= performance.now() - started;
    bytes += part.length;
    hash.update(part);
    onBytes?.(part.length);
  };
  const { status } = await connection.get({ path, headers, onBody }).catch((cause: unknown) => {
    throw new Error(`GET ${path} was cut after ${bytes} bytes: ${asError(cause).message}`, { cause });
  });
  if (status !== 200) throw new Error(`GET ${path} was answered ${status}: ${refusal}`);
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw new Error(`GET ${path} gave ${bytes} bytes with the digest ${actual}`);
  return { bytes, firstByteMs, totalMs: performance.now() - started };
}
