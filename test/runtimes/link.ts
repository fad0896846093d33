import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Bandwidth } from '../../demo/upstream/bandwidth.ts';
import { freePort } from '../../demo/free-port.ts';

export interface LinkOptions {
  /** Where the far end is. */
  to: { address: string; port: number };
  /** The near end; a free port of 127.0.0.1 by default. */
  at?: { address: string; port: number };
  /** Down the link, that is from the far end; all connections together. */
  bytesPerSecond?: number;
}

/** The wide link to an upstream: plain TCP that is slow, counted, and can break and come back. */
export interface Link extends AsyncDisposable {
  readonly port: number;
  /** Bytes that went down the link so far, TLS records and headers included. */
  readonly bytes: number;
  /** Connections open now. */
  readonly connections: number;
  /** Bytes per second; undefined: no limit. */
  rate: number | undefined;
  /** Every connection is cut; new ones are taken. */
  cut(): void;
  /** Every connection is cut and new ones are refused. */
  break(): Promise<void>;
  mend(): Promise<void>;
}

export async function startLink({ to, at, bytesPerSecond }: LinkOptions): Promise<Link> {
  const { address, port } = at ?? { address: '127.0.0.1', port: await freePort() };
  const bandwidth = new Bandwidth(bytesPerSecond);
  const open = new Set<Socket>();
  let bytes = 0;
  let server: Server | undefined;

  const carry = (near: Socket): void => {
    const far = connect({ host: to.address, port: to.port });
    for (const end of [near, far]) {
      open.add(end);
      // What one end suffers, the other sees as a cut; nobody else needs to hear of it.
      end.on('error', () => {});
      end.on('close', () => open.delete(end));
    }
    near.on('close', () => far.destroy());
    near.pipe(far);
    // Bytes that are still to trickle outlive the far end's close, but not its failure.
    void trickle(far, near, bandwidth, (count) => (bytes += count)).catch(() => near.destroy());
  };
  const cut = (): void => {
    for (const end of open) end.resetAndDestroy();
  };
  const mend = async (): Promise<void> => {
    if (server !== undefined) return;
    server = createServer(carry);
    server.listen(port, address);
    await once(server, 'listening');
  };
  const breakLink = async (): Promise<void> => {
    const closing = server;
    server = undefined;
    const closed = closing === undefined ? undefined : once(closing, 'close');
    closing?.close();
    cut();
    await closed;
  };
  await mend();
  return {
    port,
    get bytes() {
      return bytes;
    },
    get connections() {
      return open.size / 2;
    },
    get rate() {
      return bandwidth.rate;
    },
    set rate(rate) {
      bandwidth.rate = rate;
    },
    cut,
    break: breakLink,
    mend,
    [Symbol.asyncDispose]: breakLink,
  };
}

async function trickle(
  from: Socket,
  to: Socket,
  bandwidth: Bandwidth,
  count: (bytes: number) => void,
): Promise<void> {
  const gone = new AbortController();
  to.once('close', () => gone.abort());
  for await (const chunk of from as AsyncIterable<Buffer>) {
    for (let sent = 0; sent < chunk.length;) {
      const step = chunk.subarray(sent, sent + bandwidth.step);
      await bandwidth.take(step.length, gone.signal);
      sent += step.length;
      count(step.length);
      if (!to.write(step)) await once(to, 'drain', { signal: gone.signal });
    }
  }
  to.end();
}
