import { expect, test } from 'vitest';

import { readableLog } from '#cli/dev/readable-log.ts';

function written(text: string): string {
  let got = '';
  readableLog({ write: (more) => (got += more) }).write(text);
  return got;
}

const LINE = { level: 'warn', time: '2026-11-21T19:50:14.336Z', name: 'agent', msg: 'pull failed' };

test('a log line is read by people: time, level, message, reason, and what goes with it', () => {
  const record = { ...LINE, status: 503, bytes: { peer: 1 }, reason: 'refused' };
  expect(written(`agent-1 | ${JSON.stringify(record)}\n`)).toBe(
    'agent-1 | 19:50:14 warn pull failed: refused  status=503 bytes={"peer":1}\n',
  );
});

test("an error's message is told, its stack is not", () => {
  const record = { ...LINE, err: { message: 'no route', stack: 'Error: no route\n    at x' } };
  expect(written(`origin-1 | ${JSON.stringify(record)}\n`)).toBe(
    'origin-1 | 19:50:14 warn pull failed: no route\n',
  );
});

test.each(['agent-1 | shoal: log.level is "loud"\n', 'agent-1 | {no JSON}\n', 'agent-1 | {"a":1}\n', '\n'])(
  'what is no log line stays as it is: %j',
  (text) => {
    expect(written(text)).toBe(text);
  },
);
