import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { formatHostPort, isLoopback, parseHostPort } from '#service/host-port.ts';

test.each([
  ['127.0.0.1:29500', { host: '127.0.0.1', port: 29_500 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['tracker.shoal.svc:0', { host: 'tracker.shoal.svc', port: 0 }],
])('%s is a place', (text, place) => {
  expect(parseHostPort(text)).toEqual(place);
  expect(formatHostPort(place)).toBe(text);
});

test('an IPv4 address may have brackets too', () => {
  expect(parseHostPort('[10.0.0.7]:29502')).toEqual({ host: '10.0.0.7', port: 29_502 });
});

test.each([
  '',
  ':80',
  'host',
  'host:',
  'host:65536',
  'host:-1',
  '::1:80',
  '[host]:80',
  'a b:1',
  'http://a:1',
  'host:1e3',
])('%j is none', (text) => {
  expect(parseHostPort(text)).toBeUndefined();
});

test('whatever is read is written back as it was', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
      fc.integer({ min: 0, max: 65_535 }),
      (host, port) => {
        expect(parseHostPort(formatHostPort({ host, port }))).toEqual({ host, port });
      },
    ),
  );
});

test('any text is read without an exception, and what is read has a port', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(parseHostPort(text)?.port ?? 0).toBeLessThanOrEqual(65_535);
    }),
  );
});

test('loopback is known in all its forms', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1'].map(isLoopback)).not.toContain(
    false,
  );
  expect(
    ['0.0.0.0', '::', '128.0.0.1', '10.0.0.1', 'localhost.example.com', '127.0.0.1.example.com'].map(
      isLoopback,
    ),
  ).not.toContain(true);
});
