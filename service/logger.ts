import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type { Logger } from 'pino';
/** The most talkative first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Property names that never reach a log line, wherever they occur up to three levels deep. */
const SECRET_NAMES = [
  'authorization',
  'Authorization',
  'proxy-authorization',
  'shoal-authorization',
  'Shoal-Authorization',
  'cookie',
  'password',
  'token',
  'secret',
  'clusterKey',
];
const SECRET_PATHS = ['', '*.', '*.*.'].flatMap((prefix) =>
  SECRET_NAMES.map((name) =>
    name.includes('-') ? `${prefix.replace(/\.$/, '')}["${name}"]` : `${prefix}${name}`,
  ),
);

/**
 * The logger of one part: JSON lines, `name` and `level` by word, times in ISO 8601, known credential fields taken out.
 * Messages are written by hand and must not carry credentials: redaction looks at fields only.
 */
export function createLogger(
  name: string,
  options: { level?: LogLevel; destination?: DestinationStream } = {},
): Logger {
  return pino(
    {
      name,
      level: options.level ?? 'info',
      base: { name },
      redact: { paths: SECRET_PATHS, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
