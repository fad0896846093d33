import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../demo/free-port.ts';
import { killWithUs } from '../support/orphans.ts';
import { attempt, eventually, words, type Outcome } from './program.ts';

const CLIENT = fileURLToPath(new URL('libtorrent-client.py', import.meta.url));
/** Debian builds the binding for this one. */
const PYTHON = '/usr/bin/python3';

/** aria2 downloads by a .torrent file into a directory and ends; it finds peers by the torrent's tracker only. */
export async function downloadByAria2(torrentFile: string, directory: string): Promise<Outcome> {
  const port = await freePort();
  return attempt(
    [
      'aria2c',
      `--listen-port=${port}`,
      `--dir=${directory}`,
      `--torrent-file=${torrentFile}`,
      ...words('--enable-dht=false --enable-dht6=false --bt-enable-lpd=false --enable-peer-exchange=false'),
      ...words('--seed-time=0 --check-integrity=true --bt-tracker-interval=2 --bt-stop-timeout=60'),
      ...words('--no-conf=true --file-allocation=none --summary-interval=0 --console-log-level=notice'),
    ],
    { timeoutMs: 90_000 },
  );
}

/** What libtorrent tells, as its small Python client prints it. */
interface LibtorrentStatus {
  state: string;
  progress: number;
  /** Has and gives all of it. */
  done: boolean;
  error: string;
  /** Payload bytes. */
  uploaded: number;
  downloaded: number;
  /** Bytes by the peer's `address:port`. */
  taken: Record<string, number>;
  given: Record<string, number>;
  alerts: string[];
}

export interface Libtorrent extends AsyncDisposable {
  /** `127.0.0.1:port` where it listens. */
  readonly listen: string;
  status(): LibtorrentStatus | undefined;
  /** Waits until it has all of the torrent. */
  untilDone(timeoutMs?: number): Promise<LibtorrentStatus>;
  logs(): string;
}

/** libtorrent-rasterbar on one torrent: downloads what is missing in the directory, then seeds. */
export async function startLibtorrent(torrentFile: string, directory: string): Promise<Libtorrent> {
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn(PYTHON, [CLIENT, torrentFile, directory, listen], { stdio: 'pipe' });
  killWithUs(child);
  const exited = once(child, 'close');
  let status: LibtorrentStatus | undefined;
  const alerts: string[] = [];
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString('utf8')));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const told: LibtorrentStatus = JSON.parse(line);
    status = told;
    alerts.push(...told.alerts);
  });
  const logs = (): string => `${JSON.stringify(status)}\n${alerts.join('\n')}\n${complaints}`;
  const dispose = async (): Promise<void> => {
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await exited.finally(() => clearTimeout(timer));
  };
  try {
    await eventually('libtorrent tells its state', () => status, 15_000);
  } catch (cause) {
    await dispose();
    throw new Error(`libtorrent did not start:\n${logs()}`, { cause });
  }
  return {
    listen,
    status: () => status,
    untilDone: (timeoutMs = 60_000) =>
      eventually(
        'libtorrent has it all',
        () => (status?.done === true ? status : undefined),
        timeoutMs,
      ).catch((cause: unknown) => {
        throw new Error(`libtorrent did not finish:\n${logs()}`, { cause });
      }),
    logs,
    [Symbol.asyncDispose]: dispose,
  };
}
