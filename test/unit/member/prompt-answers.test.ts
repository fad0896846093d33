import { fastify } from 'fastify';
import { get } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { answerPromptly } from '#swarm/member/prompt-answers.ts';
import { loopRest } from '#swarm/wire/loop-rest.ts';

async function openServer(): Promise<AsyncDisposable & { url: string }> {
  const server = fastify();
  answerPromptly(server);
  server.get('/whole', () => 'all of it');
  server.get('/endless', (_request, reply) => {
    reply.hijack();
    reply.raw.write('the beginning');
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return { url, [Symbol.asyncDispose]: () => server.close() };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a server that answers promptly', () => {
  it.each([
    ['a whole answer', '/whole'],
    ['a path that it does not know', '/nothing'],
  ])('keeps the loop awake for %s, and no longer', async (_name, path) => {
    const keepAwake = vi.spyOn(loopRest, 'keepAwake');
    const letRest = vi.spyOn(loopRest, 'letRest');
    await using server = await openServer();
    await (await fetch(server.url + path)).text();
    await vi.waitFor(() => expect(letRest).toHaveBeenCalledTimes(1));
    expect(keepAwake).toHaveBeenCalledTimes(1);
  });

  it('keeps it awake until a client leaves', async () => {
    const keepAwake = vi.spyOn(loopRest, 'keepAwake');
    const letRest = vi.spyOn(loopRest, 'letRest');
    await using server = await openServer();
    const began = Promise.withResolvers<unknown>();
    const request = get(`${server.url}/endless`, (answer) => answer.once('data', began.resolve));
    await began.promise;
    expect(keepAwake).toHaveBeenCalledTimes(1);
    expect(letRest).not.toHaveBeenCalled();
    request.destroy();
    await vi.waitFor(() => expect(letRest).toHaveBeenCalledTimes(1));
  });
});
