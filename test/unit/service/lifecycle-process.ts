import { setTimeout as sleep } from 'node:timers/promises';

import { run } from '#service/lifecycle.ts';

/** Run by lifecycle.test.ts as a process of its own. */

const kind = process.argv[2];
const say = (text: string): void => void process.stdout.write(`${text}\n`);

await run(
  async (_signal, stack) => {
    const alive = setInterval(() => {}, 1000);
    stack.defer(() => {
      clearInterval(alive);
      say('stopped a');
    });
    stack.defer(() => say('stopped b'));
    if (kind !== 'orderly')
      stack.defer(() => {
        say('stopping');
        return kind === 'slow' ? sleep(400) : new Promise<void>(() => {});
      });
    say('up');
  },
  { onHangup: () => say('reload'), ...(kind === 'short-grace' && { graceMs: 100 }) },
);
say('end');
