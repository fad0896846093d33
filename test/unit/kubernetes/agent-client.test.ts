import { once } from 'node:events';
import { createServer } from 'node:http';
import { Agent } from 'undici';
import { expect, onTestFinished, test } from 'vitest';

import { AgentClient } from '#kubernetes/preheat/agent-client.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const OTHER = `sha256:${'b'.repeat(64)}`;

/** What the client makes of an agent's answer. */
async function ask(image: string, answer: object): Promise<unknown> {
  const server = createServer((_request, response) => response.end(JSON.stringify(answer)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const dispatcher = new Agent();
  onTestFinished(() => dispatcher.destroy());
  const bound = server.address();
  const port = typeof bound === 'object' ? bound?.port : undefined;
  const client = new AgentClient({ dispatcher, scheme: 'http' });
  return client.warm(`127.0.0.1:${port}`, { image }, AbortSignal.timeout(5000));
}

test('an agent that tells of a digest that is none is not believed', async () => {
  await expect(ask('app:1', { state: 'warm', digest: 'sha256:../x' })).rejects.toThrow('malformed');
  await expect(ask('app:1', { state: 'warm', digest: DIGEST })).resolves.toMatchObject({ digest: DIGEST });
});

test('an agent that answers for another digest than it was asked for is not believed', async () => {
  await expect(ask(`app:1@${DIGEST}`, { state: 'warm', digest: OTHER })).rejects.toThrow(
    'which it was not asked for',
  );
  await expect(ask(`app@${DIGEST}`, { state: 'warm', digest: DIGEST })).resolves.toMatchObject({
    state: 'warm',
  });
});
