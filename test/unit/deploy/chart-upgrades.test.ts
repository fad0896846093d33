import { describe, expect, test } from 'vitest';

import { STOP_GRACE_MS } from '#service/lifecycle.ts';

import { HELM, type Manifest, render } from './helm.ts';

/** Defaults of earlier charts that are others now: `helm upgrade --reuse-values` brings them, though nobody set them. */
const EARLIER_DEFAULTS = ['tracker.terminationGracePeriodSeconds=15'];

/** Seconds that each part's pod is given to stop, by the workload's kind. */
function graceOf(objects: readonly Manifest[]): Record<string, number | undefined> {
  const pods = objects.flatMap(({ kind, spec }) => {
    const pod = spec?.template?.spec;
    return pod === undefined ? [] : [[kind, pod.terminationGracePeriodSeconds] as const];
  });
  return Object.fromEntries(pods);
}

describe.skipIf(HELM === undefined)('an upgrade of the chart (needs helm)', () => {
  test('takes what an earlier chart had as its defaults', async () => {
    const grace = graceOf(await render(...EARLIER_DEFAULTS));
    expect(grace).toEqual({ DaemonSet: 30, StatefulSet: 30, Deployment: STOP_GRACE_MS / 1000 });
  });

  test('keeps the names that objects have for a long fullnameOverride, all of them legal', async () => {
    const objects = await render(`fullnameOverride=${'a'.repeat(39)}-${'b'.repeat(30)}`);
    // A revision's hash of ten characters comes after a workload's name in a label of 63.
    const names = objects
      .filter(({ kind, spec }) => kind === 'Service' || spec?.template !== undefined)
      .map(({ metadata }) => metadata.name);
    expect(names).toContain(`${'a'.repeat(39)}-agent`);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9-]{0,50}[a-z0-9]$/u);
  });

  test('gives every part the time that a stop takes, and more where it is asked for', async () => {
    const asked = { agent: 1, origin: 19, tracker: 21 };
    const values = Object.entries(asked).map(
      ([part, seconds]) => `${part}.terminationGracePeriodSeconds=${seconds}`,
    );
    const least = STOP_GRACE_MS / 1000;
    expect(graceOf(await render(...values))).toEqual({
      DaemonSet: least,
      StatefulSet: least,
      Deployment: 21,
    });
  });
});
