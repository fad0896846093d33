import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { succeedsOrThrows } from './outcome.ts';
import { bearerChallenge, ChallengeError, formatChallenge, parseChallenges } from '#registry/challenge.ts';

const plain = (header: string | string[]) =>
  parseChallenges(header).map(({ scheme, params, token68 }) =>
    Object.assign(
      { scheme },
      params.size > 0 ? { params: Object.fromEntries(params) } : {},
      token68 === undefined ? {} : { token68 },
    ),
  );

describe('a WWW-Authenticate header', () => {
  test.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          params: {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull,push',
          },
        },
      ],
    ],
    [
      'Basic realm="a \\"b\\" c", charset=UTF-8 , Bearer REALM = "x"',
      [
        { scheme: 'basic', params: { realm: 'a "b" c', charset: 'UTF-8' } },
        { scheme: 'bearer', params: { realm: 'x' } },
      ],
    ],
    ['Negotiate, Basic realm=x', [{ scheme: 'negotiate' }, { scheme: 'basic', params: { realm: 'x' } }]],
    ['Negotiate YWJj==, NTLM', [{ scheme: 'negotiate', token68: 'YWJj==' }, { scheme: 'ntlm' }]],
    [', ,Basic realm="",, ', [{ scheme: 'basic', params: { realm: '' } }]],
    ['Basic realm=', [{ scheme: 'basic', token68: 'realm=' }]],
    ['', []],
  ])('%s is read', (header, challenges) => {
    expect(plain(header)).toEqual(challenges);
  });

  test('in several lines gives the challenges of all', () => {
    expect(plain(['Basic realm="a"', 'Bearer realm="b"']).map(({ scheme }) => scheme)).toEqual([
      'basic',
      'bearer',
    ]);
  });

  test.each([
    ['Basic realm="open', 'a value'],
    ['Basic a=1, a=2', 'one'],
    ['Basic a="1"b="2"', 'a comma'],
    ['"quoted"', 'a scheme'],
    ['Basic\u0000x', 'a space'],
    [`Basic ${Array.from({ length: 40 }, (_, i) => `p${i}=1`).join(',')}`, 'at most 32'],
    [Array.from({ length: 20 }, () => 'Basic').join(','), 'at most 16'],
    [`Basic realm="${'x'.repeat(20_000)}"`, 'at most 16384'],
  ])('%.40s is refused', (header, told) => {
    expect(() => parseChallenges(header)).toThrow(told);
  });

  test.each(['Bearer', 'Bearer realm="not a url"', 'Bearer realm="file:///etc/passwd"'])(
    '%s has no token endpoint',
    (header) => {
      expect(() => bearerChallenge(parseChallenges(header))).toThrow(ChallengeError);
    },
  );

  test('of any text is read or refused with its own error', () => {
    const pieces = fc.array(
      fc.constantFrom('Basic', 'Bearer', ' ', ',', '=', '"', '\\', 'realm', 'x', '\t', 'é', '=='),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          pieces.map((list) => list.join('')),
        ),
        (text) => {
          expect(succeedsOrThrows(() => parseChallenges(text), ChallengeError)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('that we write is read back', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9!#$%&'*+.^_`|~-]{0,10}$/u);
    const challenge = fc.oneof(
      fc.record({
        scheme: name,
        params: fc.array(fc.tuple(name, fc.string()), { maxLength: 5 }).map((list) => new Map(list)),
      }),
      fc.record({
        scheme: name,
        params: fc.constant(new Map<string, string>()),
        token68: fc.stringMatching(/^[\w.~+/-]{1,20}={0,2}$/u),
      }),
    );
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
        expect(parseChallenges(challenges.map(formatChallenge).join(', '))).toEqual(challenges);
        expect(parseChallenges(challenges.map(formatChallenge))).toEqual(challenges);
      }),
    );
  });
});
