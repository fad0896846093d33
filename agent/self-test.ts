import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { digestHash, digestHex } from '#registry/digest.ts';
import { backoffMs } from '#registry/retry.ts';
import { SELF_TEST, type SelfTestContent, selfTestImages } from '#registry/self-test.ts';
import type { Logger } from '#service/logger.ts';
import { SELF_TEST_BACKOFF, SELF_TEST_TIMEOUT_MS, SELF_TEST_UNKNOWN_MS } from './defaults.ts';
import type { OriginAnswer } from './origin-answer.ts';
import type { UpstreamRequest } from './upstream.ts';

export interface SelfTestParts {
  /** `host:port` of this agent's door. */
  readonly door: string;
  readonly origins: { fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer> };
  readonly logger: Logger;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
}

/**
 * Pulls the images that origins hold for this through the agent's own door, as a runtime would: door, origins, swarm and
 * store do their work a few times before a runtime waits for it, and what runs often is compiled for speed by then. Origins that
 * start at the same moment are waited for, those that do not hold such images, as of another version, for less; an agent
 * without any is ready all the same.
 */
export class SelfTest implements AsyncDisposable {
  readonly #parts: SelfTestParts;
  readonly #stop = new AbortController();
  readonly #run: Promise<void>;
  #over = false;

  constructor(parts: SelfTestParts) {
    this.#parts = parts;
    this.#run = this.#log().finally(() => (this.#over = true));
  }

  /** Whether it has passed, failed, or taken too long. */
  get isOver(): boolean {
    return this.#over;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#run;
  }

  async #log(): Promise<void> {
    const { door, logger } = this.#parts;
    const started = performance.now();
    const pool = new Pool(`http://${door}`);
    try {
      const patience = AbortSignal.timeout(SELF_TEST_TIMEOUT_MS);
      const signal = AbortSignal.any([this.#stop.signal, patience]);
      for (const image of selfTestImages()) await this.#pull(pool, image, signal);
      logger.info({ ms: Math.round(performance.now() - started) }, 'self-test passed');
    } catch (err) {
      if (err instanceof ImageUnknownError)
        logger.info('self-test ended early: origins answer and do not hold its images');
      else if (!this.#stop.signal.aborted)
        logger.warn({ err }, 'self-test failed: pulls take what the swarm and origins have, and upstream');
    } finally {
      await pool.destroy();
    }
  }

  async #pull(pool: Pool, image: readonly SelfTestContent[], signal: AbortSignal): Promise<void> {
    let unknownSince: number | undefined;
    for (let attempt = 1; ; attempt++) {
      try {
        return await pullImage(pool, image, signal);
      } catch (error) {
        if (!(await this.#isUnknown(image, signal))) unknownSince = undefined;
        else if (performance.now() - (unknownSince ??= performance.now()) >= SELF_TEST_UNKNOWN_MS)
          throw new ImageUnknownError('no origin holds the image', { cause: error });
        const delayMs = backoffMs(attempt, { ...SELF_TEST_BACKOFF, random: this.#parts.random });
        // What went wrong says more than that the time is over.
        await sleep(delayMs, undefined, { signal }).catch(() => Promise.reject(error));
      }
    }
  }

  /** Whether an origin has answered that it does not have the image; where nobody is there yet, nobody has. */
  async #isUnknown([manifest]: readonly SelfTestContent[], signal: AbortSignal): Promise<boolean> {
    const resource = { kind: 'manifest', reference: manifest!.digest } as const;
    const answer = await this.#parts.origins
      .fetch({ caller: SELF_TEST, resource }, signal)
      .catch(() => undefined);
    return answer?.kind === 'unreachable' || answer?.kind === 'refused';
  }
}

class ImageUnknownError extends Error {
  override readonly name = 'ImageUnknownError';
}

async function pullImage(
  pool: Pool,
  [manifest, config, ...layers]: readonly SelfTestContent[],
  signal: AbortSignal,
): Promise<void> {
  await pull(pool, manifest!, signal);
  await pull(pool, config!, signal);
  await Promise.all(layers.map((layer) => pull(pool, layer, signal)));
}

async function pull(
  pool: Pool,
  { kind, digest, bytes }: SelfTestContent,
  signal: AbortSignal,
): Promise<void> {
  const { registry, repository } = SELF_TEST;
  const path = `/v2/${repository}/${kind}s/${digest}?ns=${registry}`;
  const { statusCode, body } = await pool.request({ path, method: 'GET', signal });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`${kind} ${digest} was answered ${statusCode}`);
  }
  const hash = digestHash(digest);
  let left = bytes.length;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    left -= chunk.length;
    if (left < 0) break; // cuts the connection
    hash.update(chunk);
  }
  if (left !== 0 || hash.digest('hex') !== digestHex(digest))
    throw new Error(`${kind} ${digest} came with other bytes`);
}
