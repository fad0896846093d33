import { fork, type ChildProcess } from 'node:child_process';
import { runEnd, type EndSettings, type Usage } from './wire-ends.ts';

/**
 * What moving 1 GiB between two processes over loopback costs: the wire as Shoal speaks it, by block length and security,
 * beside bittorrent-protocol. The receiver checks the sha256 of each piece of 256 KiB.
 *
 *     node bench/wire.ts [part of a row's name]
 */
type Row = Pick<EndSettings, 'codec' | 'security' | 'blockLength'> & {
  name: string;
  receiver: 'dials' | 'listens';
};

const KIB = 1024;
const shoal = (name: string, security: Row['security'], kib: number, receiver: Row['receiver']): Row => ({
  name: `shoal ${name}, ${kib} KiB blocks, receiver ${receiver}`,
  codec: 'shoal',
  security,
  blockLength: kib * KIB,
  receiver,
});
const stock = (kib: number): Row => ({
  name: `bittorrent-protocol, ${kib} KiB blocks`,
  codec: 'bittorrent-protocol',
  security: 'off',
  blockLength: kib * KIB,
  receiver: 'dials',
});

const ROWS: Row[] = [
  ...[16, 32, 64, 128, 256].map((kib) => shoal('plain', 'off', kib, 'dials')),
  shoal('plain', 'off', 128, 'listens'),
  shoal('preamble', 'preamble', 128, 'dials'),
  shoal('TLS-PSK', 'tls', 128, 'dials'),
  shoal('TLS-PSK', 'tls', 128, 'listens'),
  stock(16),
  stock(128),
];

/** What `startEnd` wrote. */
function parseSettings(text: string): EndSettings {
  const parsed: EndSettings = JSON.parse(text);
  return parsed;
}

type Report = { port: number | undefined } | { usage: Usage };

async function measure(row: Row): Promise<Record<'send' | 'receive', Usage>> {
  const listens = row.receiver === 'listens' ? 'receive' : 'send';
  const dials = listens === 'send' ? 'receive' : 'send';
  const listener = startEnd({ ...row, side: listens, dial: undefined });
  const port = Promise.withResolvers<number | undefined>();
  listener.on('message', (report: Report) => 'port' in report && port.resolve(report.port));
  const listened = usageOf(listener);
  const dialer = startEnd({ ...row, side: dials, dial: await port.promise });
  const [atListener, atDialer] = await Promise.all([listened, usageOf(dialer)]);
  return listens === 'send'
    ? { send: atListener, receive: atDialer }
    : { send: atDialer, receive: atListener };
}

function startEnd(settings: EndSettings): ChildProcess {
  return fork(import.meta.filename, [JSON.stringify(settings)]);
}

async function usageOf(child: ChildProcess): Promise<Usage> {
  const { promise, resolve, reject } = Promise.withResolvers<Usage>();
  child.on('message', (report: Report) => 'usage' in report && resolve(report.usage));
  child.on('exit', (code) => reject(new Error(`an end left with code ${code}`)));
  const usage = await promise;
  child.disconnect();
  return usage;
}

const settings = process.argv[2];
if (process.send !== undefined) {
  const report = (message: Report): unknown => process.send!(message);
  process.on('disconnect', () => process.exit());
  await runEnd(
    parseSettings(settings!),
    (port) => report({ port }),
    (usage) => report({ usage }),
  );
} else {
  console.log('| 1 GiB over loopback | MB/s | receiver CPU-s | sender CPU-s | receiver RSS MiB |');
  console.log('|---|---|---|---|---|');
  for (const row of ROWS.filter(({ name }) => name.includes(settings ?? ''))) {
    const { send, receive } = await measure(row);
    const rate = 2 ** 30 / 1e6 / receive.seconds;
    console.log(
      `| ${row.name} | ${rate.toFixed(0)} | ${receive.cpuSeconds.toFixed(2)} | ${send.cpuSeconds.toFixed(2)} | ${receive.rssMiB.toFixed(0)} |`,
    );
  }
}
