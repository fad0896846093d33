import { expect, test } from 'vitest';

import { eventOfTrouble } from '#tracker/trouble-events.ts';

test('what a member has trouble with has an Event that says what to do', () => {
  expect(eventOfTrouble('mirror-missing')).toMatchObject({
    reason: 'ShoalMirrorNotConfigured',
    message: expect.stringContaining('The log of the container "mirror"'),
  });
});

test('a trouble of a later version, and no trouble at all, have none', () => {
  for (const unknown of ['on-fire', 'toString', '__proto__', ''])
    expect(eventOfTrouble(unknown)).toBe(undefined);
});
