import { expect, test } from 'vitest';

import { Whereabouts } from '#swarm/session/whereabouts.ts';

test('bytes cross zones when both sides know theirs and they differ', () => {
  const here = new Whereabouts({ zone: 'a', region: 'r' });
  expect(here.localityOf('r/a')).toBe('same-zone');
  expect(here.localityOf('r/b')).toBe('cross-zone');
  expect(here.localityOf('s/a')).toBe('cross-zone');
  expect(here.localityOf(undefined)).toBe('unknown');
  expect(new Whereabouts({}).localityOf('r/a')).toBe('unknown');
});

test('the tracker says where a node is that does not know it itself', () => {
  const told = new Whereabouts({});
  told.learn({ zone: 'a', region: 'r' });
  expect(told.zone).toBe('r/a');
  told.learn({ zone: 'b' });
  expect(told.zone).toBe('/b');
  const configured = new Whereabouts({ zone: 'own' });
  configured.learn({ zone: 'a', region: 'r' });
  expect(configured.zone).toBe('/own');
});
