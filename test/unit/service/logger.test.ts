import { expect, test } from 'vitest';

import { createLogger } from '#service/logger.ts';

test('fields that hold credentials are taken out wherever they lie', () => {
  const lines: string[] = [];
  const logger = createLogger('test', { destination: { write: (line) => void lines.push(line) } });
  const headers = {
    authorization: 'Bearer s3cret',
    'proxy-authorization': 'Basic s3cret',
    'shoal-authorization': 's3cret',
  };
  logger.info({ ...headers, password: 's3cret' }, 'one');
  logger.info({ headers, credential: { token: 's3cret' } }, 'two');
  logger.info({ request: { headers } }, 'three');
  expect(lines).toHaveLength(3);
  expect(lines.join('')).not.toContain('s3cret');
  expect(lines[0]).toContain('[redacted]');
});

test('a line names the part and the level by word', () => {
  const lines: string[] = [];
  createLogger('agent', { destination: { write: (line) => void lines.push(line) } }).warn('x');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ name: 'agent', level: 'warn', msg: 'x' });
});
