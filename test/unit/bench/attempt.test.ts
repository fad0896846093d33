import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { attempt, type AttemptReport } from '../../../bench/rig/attempt.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const BLOB = deterministicBytes('attempt', 600_000);
type Answer = (...from: Parameters<Parameters<typeof createServer>[1] & {}>) => unknown;

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** What an attempt to get the blob says of this server. */
async function report(answer: Answer, timeoutMs = 5_000): Promise<AttemptReport & { told: number[] }> {
  await using directory = await temporaryDirectory('attempt');
  await writeFile(directory.join('truth'), BLOB);
  server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it does not listen');
  const told: number[] = [];
  const order = { host: '127.0.0.1', port: address.port, path: '/blob', digest: digestOf(BLOB), timeoutMs };
  const whole = await attempt({ ...order, truth: directory.join('truth') }, (bytes) => told.push(bytes));
  return { ...whole, told };
}

test('a whole body of the right bytes is right, and its progress was told', async () => {
  const { told, ...rest } = await report((_request, response) => response.end(BLOB));
  expect(rest).toMatchObject({ ended: true, right: true, bytes: BLOB.length, wrongBytes: 0 });
  expect(told.length).toBeGreaterThan(1);
});

test('each wrong byte counts, though the body ends cleanly', async () => {
  const wrong = Buffer.from(BLOB);
  for (const at of [0, 300_000, BLOB.length - 1]) wrong[at]! ^= 1;
  expect(await report((_request, response) => response.end(wrong))).toMatchObject({
    ended: true,
    right: false,
    wrongBytes: 3,
  });
});

test('the longest time without a byte is told, from the request to the end', async () => {
  const { right, silenceSeconds } = await report(async (_request, response) => {
    response.setHeader('content-length', BLOB.length);
    response.write(BLOB.subarray(0, 1000));
    await sleep(300);
    response.end(BLOB.subarray(1000));
  });
  expect(right).toBe(true);
  expect(silenceSeconds).toBeGreaterThan(0.25);
});

test.each<[string, string, Answer]>([
  [
    'a status other than 200',
    'status 503',
    (_request, response) => response.writeHead(503, { 'content-length': 2 }).end('no'),
  ],
  [
    'a body that is cut',
    'cut',
    (_request, response) => {
      response.setHeader('content-length', BLOB.length);
      response.write(BLOB.subarray(0, 1000), () => response.destroy());
    },
  ],
  ['no answer at all', 'cut', () => {}],
])('%s is told as a failure', async (_what, failure, answer) => {
  const { ended, right, failure: told } = await report(answer, 500);
  expect({ ended, right }).toEqual({ ended: false, right: false });
  expect(told).toContain(failure);
});
