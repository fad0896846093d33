import type { Command } from 'commander';

import { askAgent, dataOption } from '#cli/admin.ts';
import type { AdminOptions } from '#cli/admin.ts';
import { describeStatus } from '#cli/admin-answers.ts';

export function register(program: Command): void {
  program
    .command('status')
    .description('Shows what the agent on this machine holds and does.')
    .addOption(dataOption())
    .option('--json', 'as one JSON object')
    .action(async (options: AdminOptions & { json?: boolean }) => {
      const answer = await askAgent(options, { method: 'GET', path: '/v1/status' });
      if (options.json === true) process.stdout.write(`${JSON.stringify(answer)}\n`);
      else process.stdout.write(`${describeStatus(answer)}\n`);
    });
}
