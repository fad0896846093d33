import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SCRIPT = `
  import { StopSignals } from ${JSON.stringify(fileURLToPath(new URL('../../../demo/stop-signals.ts', import.meta.url)))};
  using stop = new StopSignals();
  process.stdout.write('ready\\n');
  const keepAlive = setInterval(() => {}, 1000);
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
  await new Promise((resolve) => setTimeout(resolve, Number(process.argv[1])));
  clearInterval(keepAlive);
  process.stdout.write('tidy\\n');
  process.exitCode = stop.exitCode;
`;

interface Ended {
  code: number | null;
  output: string;
}

async function interrupt(tidyingMs: number, atMs: readonly number[]): Promise<Ended> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, String(tidyingMs)]);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => void (output += chunk.toString()));
  await once(child.stdout, 'data');
  for (const delay of atMs) setTimeout(() => child.kill('SIGINT'), delay);
  const [code = null]: (number | null)[] = await once(child, 'close');
  return { code, output };
}

test('Ctrl-C lets the demo tidy up, also when npm passes it on a second time', async () => {
  expect(await interrupt(200, [0, 20])).toEqual({ code: 130, output: 'ready\ntidy\n' });
});

test('Ctrl-C again, when tidying takes too long, ends it', async () => {
  expect(await interrupt(60_000, [0, 1300])).toEqual({ code: 130, output: 'ready\n' });
});
