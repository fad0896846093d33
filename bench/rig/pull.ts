import { createHash } from 'node:crypto';
import { HttpConnection } from '../../demo/http-connection.ts';

/** One GET; its body must have this digest. */
export interface Fetch {
  readonly path: string;
  readonly digest: string;
}

/** What a runtime does: stage after stage, in each so many at a time. */
export interface PullOrder {
  readonly host: string;
  readonly port: number;
  readonly stages: readonly (readonly Fetch[])[];
  readonly concurrency: number;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Fetched {
  readonly seconds: number;
  /** From the request to the first byte of the body. */
  readonly firstByteSeconds: number;
  readonly bytes: number;
}

export interface PullReport {
  readonly seconds: number;
  readonly fetched: readonly Fetched[];
}

const KEPT_TEXT_BYTES = 500;

/** @throws Error when a status is not 200, a connection is cut or a digest is not the one asked for */
export async function pull(order: PullOrder): Promise<PullReport> {
  const started = performance.now();
  const connections = new Set<HttpConnection>();
  try {
    const fetched: Fetched[] = [];
    for (const stage of order.stages) fetched.push(...(await pullStage(order, stage, connections)));
    return { seconds: since(started), fetched };
  } finally {
    for (const connection of connections) connection.close();
  }
}

async function pullStage(
  order: PullOrder,
  stage: readonly Fetch[],
  connections: Set<HttpConnection>,
): Promise<Fetched[]> {
  const fetched: Fetched[] = [];
  const waiting = stage.values();
  const work = async (): Promise<void> => {
    for (const item of waiting) {
      const connection = connections.values().find(({ usable }) => usable) ?? new HttpConnection(order);
      connections.add(connection);
      fetched.push(await fetchOne(connection, order, item));
    }
  };
  await Promise.all(Array.from({ length: Math.min(order.concurrency, stage.length) }, work));
  return fetched;
}

async function fetchOne(
  connection: HttpConnection,
  { headers }: PullOrder,
  { path, digest }: Fetch,
): Promise<Fetched> {
  const started = performance.now();
  const hash = createHash('sha256');
  let firstByteSeconds: number | undefined;
  let bytes = 0;
  let text = '';
  const response = await connection.get({
    path,
    ...(headers === undefined ? {} : { headers }),
    onBody(chunk) {
      firstByteSeconds ??= since(started);
      if (bytes === 0) text = Buffer.from(chunk.subarray(0, KEPT_TEXT_BYTES)).toString();
      bytes += chunk.length;
      hash.update(chunk);
    },
  });
  if (response.status !== 200) throw new Error(`GET ${path} was answered ${response.status}: ${text}`);
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw new Error(`GET ${path} gave ${bytes} bytes with the digest ${actual}`);
  return { seconds: since(started), firstByteSeconds: firstByteSeconds ?? since(started), bytes };
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
