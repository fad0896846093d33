import { expect, test } from 'vitest';

import { ApiError } from '#kubernetes/api-error.ts';
import { EventRecorder } from '#kubernetes/event-recorder.ts';
import { isJsonObject } from '#registry/json-object.ts';

const PREHEAT = { apiVersion: 'v1', kind: 'ImagePreheat', namespace: 'shoal', name: 'release', uid: 'u' };

test('an image that fails for ever new reasons is one Event, with the last reason', async () => {
  const written = new Map<string, unknown>();
  let clock = 0;
  const recorder = new EventRecorder(
    {
      api: {
        ask: async ({ method, path, body }) => {
          const { metadata, message } = isJsonObject(body) ? body : {};
          const given = isJsonObject(metadata) ? metadata['name'] : path.split('/').at(-1);
          const name = String(given);
          if (method === 'POST' && written.has(name))
            throw new ApiError('POST', { status: 409, reason: 'AlreadyExists', message: '' });
          written.set(name, message);
          return {};
        },
      },
      now: () => clock,
      wallClock: () => 0,
      onFailure: (reason) => expect.fail(reason),
      signal: new AbortController().signal,
    },
    'shoal-tracker',
  );
  for (let port = 1; port <= 5; port += 1, clock += 61_000) {
    const message = `app: connection to 10.0.0.1:${port} refused`;
    recorder.record(PREHEAT, { type: 'Warning', reason: 'ImageNotFetched', subject: 'app', message });
  }
  recorder.record(PREHEAT, {
    type: 'Warning',
    reason: 'ImageNotFetched',
    subject: 'web',
    message: 'web: denied',
  });
  await expect
    .poll(() => [...written.values()])
    .toEqual(['app: connection to 10.0.0.1:5 refused', 'web: denied']);
});
