import { expect, test } from 'vitest';
import { answerOriginError } from '#origin/routes/errors.ts';
import { SELF_TEST } from '#registry/self-test.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from '#registry/upstream-error.ts';

const levelOf = (error: Error): unknown => answerOriginError(error)?.level;

test('an origin warns of a registry that is out of reach, and not of the self-test image that it is yet to make', () => {
  expect(levelOf(new UpstreamUnreachableError('gone', { host: SELF_TEST.registry }))).toBe('debug');
  expect(levelOf(new UpstreamUnreachableError('gone', { host: 'registry.example' }))).toBeUndefined();
  expect(levelOf(new UpstreamProtocolError('nonsense'))).toBeUndefined();
});
