import { fetchBlob } from '../../demo/fetch-blob.ts';
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
  const { bytes, firstByteMs, totalMs } = await fetchBlob(connection, { path, digest, headers });
  return { seconds: totalMs / 1000, firstByteSeconds: (firstByteMs ?? totalMs) / 1000, bytes };
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
