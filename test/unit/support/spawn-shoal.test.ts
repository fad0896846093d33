import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../../demo/free-port.ts';
import { spawnShoal } from '../../support/spawn-shoal.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** A stand-in for the command that shows what it was given and dies as it is told. */
const SCRIPT = `
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
const [part, flag, file] = process.argv.slice(2);
const config = flag === '--config' ? JSON.parse(readFileSync(file, 'utf8')) : {};
console.log('part', part, 'colour', process.env.COLOUR, 'secret', config.secret);
if (config.die) { console.error('cannot start: no such thing'); process.exit(3); }
process.on('SIGTERM', () => { console.log('asked to stop'); if (!config.stubborn) process.exit(0); });
if (config.noise) for (let i = 0; i < 40; i++) console.log('n'.repeat(64 * 1024));
let asked = 0;
createServer((_, response) => { response.statusCode = ++asked < 3 ? 503 : 200; response.end(); })
  .listen(config.port ?? 0, '127.0.0.1');
`;

async function withScript(): Promise<AsyncDisposable & { script: string }> {
  const dir = await temporaryDirectory('script');
  const script = dir.join('part.mjs');
  await writeFile(script, SCRIPT);
  return { script, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('a part as a child process', () => {
  test('gets its arguments, config and environment, counts as ready at the first 200, and is gone after the scope', async () => {
    await using made = await withScript();
    const port = await freePort();
    let pid: number;
    {
      await using part = await spawnShoal(['agent'], {
        script: made.script,
        config: { port, secret: 42 },
        env: { COLOUR: 'blue' },
        readyUrl: `http://127.0.0.1:${port}/readyz`,
      });
      pid = part.pid;
      expect(part.logs()).toContain('part agent colour blue secret 42');
      expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
      expect(isAlive(pid)).toBe(true);
    }
    expect(isAlive(pid)).toBe(false);
  });

  test('that dies at the start fails the start with its own words', async () => {
    await using made = await withScript();
    const start = spawnShoal(['origin'], {
      script: made.script,
      config: { die: true },
      readyUrl: `http://127.0.0.1:${await freePort()}/readyz`,
    });
    await expect(start).rejects.toThrow(/shoal origin ended before it was ready.*"code":3[^]*no such thing/);
  });

  test('that never gets ready fails the start in the given time', async () => {
    await using made = await withScript();
    const start = spawnShoal(['tracker'], {
      script: made.script,
      readyUrl: `http://127.0.0.1:${await freePort()}/readyz`,
      readyTimeoutMs: 300,
    });
    await expect(start).rejects.toThrow('was not ready');
  });

  test('is asked first, and killed if it does not go', async () => {
    await using made = await withScript();
    const started = async (stubborn: boolean): ReturnType<typeof spawnShoal> => {
      const port = await freePort();
      const readyUrl = `http://127.0.0.1:${port}/readyz`;
      return spawnShoal(['agent'], {
        script: made.script,
        config: { port, stubborn },
        readyUrl,
        graceMs: stubborn ? 200 : 15_000,
      });
    };
    await using willing = await started(false);
    expect(await willing.stop()).toEqual({ code: 0, signal: null });
    expect(willing.logs()).toContain('asked to stop');
    await using stubborn = await started(true);
    expect(await stubborn.stop()).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test('can be killed at once, as a node that loses power', async () => {
    await using made = await withScript();
    await using part = await spawnShoal(['agent'], { script: made.script });
    part.kill('SIGKILL');
    expect(await part.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test('may talk without end: the newest MiB of its log is kept', async () => {
    await using made = await withScript();
    const port = await freePort();
    await using part = await spawnShoal(['agent'], {
      script: made.script,
      config: { port, noise: true },
      readyUrl: `http://127.0.0.1:${port}/readyz`,
    });
    await part.stop();
    expect(part.logs().length).toBeLessThanOrEqual(1024 * 1024 + 64);
    expect(part.logs()).toMatch(/asked to stop\s*$/);
  });
});
