import { Option } from 'commander';
import type { Command } from 'commander';

import { allowedFor, leavesOf } from '#service/config/leaves.ts';
import { loadConfig, SCHEMAS } from '#service/config/load.ts';
import type { Configs, Part } from '#service/config/load.ts';
import { run } from '#service/lifecycle.ts';
import { createLogger } from '#service/logger.ts';
import type { Logger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import type { Metrics } from '#service/metrics.ts';

/** Starts a part; disposing what it returns stops it. */
export type StartPart<P extends Part> = (
  config: Configs[P],
  parts: { signal: AbortSignal; logger: Logger; metrics: Metrics },
) => Promise<AsyncDisposable>;

/** Adds the command of a part: `--config` and one flag for each knob. */
export function registerPart<P extends Part>(
  program: Command,
  part: P,
  description: string,
  load: () => Promise<StartPart<P>>,
): void {
  const command = program.command(part).description(description);
  command.addOption(
    new Option('--config <file>', 'YAML file; see docs/configuration.md').env('SHOAL_CONFIG'),
  );
  for (const { knob, schema } of leavesOf(SCHEMAS[part]))
    command.addOption(new Option(`--${knob} <value>`, `${schema.description ?? ''} (${allowedFor(schema)})`));
  command.action(async ({ config: file, ...flags }: Record<string, string>) => {
    const config = loadConfig(part, { env: process.env, flags, ...(file !== undefined && { file }) });
    await servePart(part, config, load);
  });
}

async function servePart<P extends Part>(
  part: P,
  config: Configs[P],
  load: () => Promise<StartPart<P>>,
): Promise<void> {
  const logger = createLogger(part, { level: config.log.level });
  if (config.security === 'off')
    logger.warn(
      'SECURITY IS OFF: whoever reaches a listener of this part is trusted. For demonstrations only.',
    );
  using _parent = followParent();
  await run(
    async (signal, stack) => {
      const start = await load();
      stack.use(await start(config, { signal, logger, metrics: createMetrics(part) }));
      logger.info('started');
    },
    { logger },
  );
  logger.info('stopped');
}

/** Under `shoal dev` there is a channel to the parent: when that goes, this part goes. */
function followParent(): Disposable {
  if (process.connected) process.once('disconnect', stopSelf);
  return {
    [Symbol.dispose]() {
      process.off('disconnect', stopSelf);
      if (process.connected) process.disconnect?.();
    },
  };
}

function stopSelf(): void {
  process.kill(process.pid, 'SIGTERM');
}
