import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';

import { ringOf } from '#origin/ring-place.ts';

const LISTEN = '0.0.0.0:29520';

/** Origins as discovery knows them: names, and the address behind each. */
function origins(members: Readonly<Record<string, string>>) {
  return {
    current: Object.keys(members),
    memberAt: (addresses: ReadonlySet<string>) =>
      Object.keys(members).find((member) => addresses.has(members[member]!)),
  };
}

test('an origin of which no other is told is a ring of its own', () => {
  expect(ringOf({ listen: LISTEN }, origins({}))).toMatchObject({ self: LISTEN, members: [LISTEN] });
});

test('an origin that is told its name goes by it', () => {
  const told = ringOf(
    { listen: LISTEN, advertise: 'b:1' },
    origins({ 'a:1': '192.0.2.1', 'b:1': '192.0.2.2' }),
  );
  expect(told).toMatchObject({ self: 'b:1', members: ['a:1', 'b:1'] });
});

test('among discovered origins, one knows itself by its address', () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? [])[0]!.address;
  const found = origins({ 'origin-0.origin.shoal.svc:1': '192.0.2.1', 'origin-1.origin.shoal.svc:1': own });
  const ring = ringOf({ listen: LISTEN }, found);
  expect(ring.self).toBe('origin-1.origin.shoal.svc:1');
  Object.assign(found, origins({ 'origin-1.origin.shoal.svc:1': '192.0.2.9' }));
  expect(ring.self).toBe(LISTEN);
});
