import { randomBytes } from 'node:crypto';
import { Compile } from 'typebox/compile';

import { backoffMs, startupGrace } from '#registry/retry.ts';

import {
  BACKOFF_MS,
  COALESCE_MS,
  FAILOVER_MS,
  FIRST_INTERVAL_MS,
  GOODBYE_TIMEOUT_MS,
  INTERVAL_JITTER,
  MAX_BACKOFF_MS,
  NEW_TRACKERS_SPREAD_MS,
  PROBE_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
} from './constants.ts';
import type { Delta, Ledger } from './ledger.ts';
import { AnnounceAnswer, ReplicasAnswer } from './messages.ts';
import type { AnnounceRequest, Self, Trouble } from './messages.ts';
import type { TrackerClient } from './tracker-client.ts';

/** The part of a logger that an announcer writes to. */
export interface AnnounceLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface AnnounceLoopParts {
  readonly client: TrackerClient;
  readonly ledger: Ledger;
  readonly logger: AnnounceLogger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly onAnswer: (answer: AnnounceAnswer) => void;
  /** Told with each message, where there are any. */
  readonly troubles: () => readonly Trouble[];
}

/**
 * Keeps a tracker's view equal to the ledger: sends what changed, a heartbeat when nothing did, all of it
 * in a new session when the tracker asks or is another one. One message is under way at a time.
 */
export class AnnounceLoop implements AsyncDisposable {
  readonly #parts: AnnounceLoopParts;
  readonly #peerId: string;
  readonly #self: Self;
  readonly #closing = new AbortController();
  /** `sequence` is that of the next message. */
  #session: { readonly id: string; sequence: number } | undefined;
  #intervalMs = FIRST_INTERVAL_MS;
  /** Messages in a row that were of no use. */
  #failures = 0;
  /** Since a tracker last answered. */
  #hasWarned = false;
  readonly #absence: (error: unknown) => 'info' | 'warn';
  #heartbeatAt = Infinity;
  /** Nothing is sent before that. */
  #notBefore = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #underWay: Promise<void> | undefined;
  /** The list of trackers has changed while a message was under way. */
  #hasNewTrackers = false;

  constructor(parts: AnnounceLoopParts, peerId: string, self: Self) {
    this.#parts = parts;
    this.#absence = startupGrace(parts.now);
    this.#peerId = peerId;
    this.#self = self;
  }

  get failures(): number {
    return this.#failures;
  }

  /** To be called when the ledger has changed. */
  wake(): void {
    if (this.#underWay !== undefined || this.#closing.signal.aborted || this.#parts.client.trackers === 0)
      return;
    const now = this.#parts.now();
    const changesAt = this.#parts.ledger.pending ? Math.max(now + COALESCE_MS, this.#notBefore) : Infinity;
    const at = Math.min(changesAt, this.#heartbeatAt);
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, at - now)).unref();
  }

  /** To be called when the list of trackers has changed. */
  trackersChanged(): void {
    const { client, now, random } = this.#parts;
    this.#hasNewTrackers = this.#underWay !== undefined;
    if (this.#hasNewTrackers) return;
    if (client.refresh()) {
      this.#restart();
      this.#notBefore = -Infinity;
    }
    // A heartbeat looks whether a tracker that is preferred answers; not all members at one moment.
    this.#heartbeatAt = Math.min(this.#heartbeatAt, now() + NEW_TRACKERS_SPREAD_MS * random());
    this.wake();
  }

  /** Says goodbye, if the tracker can be reached within a second. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new Error('the announcer is closed'));
    clearTimeout(this.#timer);
    await this.#underWay;
    if (this.#session === undefined) return;
    const { id: session, sequence } = this.#session;
    const body: AnnounceRequest = { peerId: this.#peerId, session, sequence, bye: true };
    const question = { ...ANNOUNCE, body, timeoutMs: GOODBYE_TIMEOUT_MS };
    try {
      await this.#parts.client.ask(question, new AbortController().signal);
    } catch (error) {
      this.#parts.logger.debug({ err: error }, 'the tracker did not take the goodbye');
    }
  }

  #onTimer(): void {
    const heartbeat = this.#timerAt === this.#heartbeatAt;
    this.#timerAt = Infinity;
    this.#underWay = this.#turn(heartbeat).finally(() => {
      this.#underWay = undefined;
      if (this.#hasNewTrackers) this.trackersChanged();
      else this.wake();
    });
  }

  /** Never rejects. */
  async #turn(heartbeat: boolean): Promise<void> {
    if (heartbeat) {
      this.#parts.ledger.retryRefused();
      await this.#returnToPreferred();
    }
    const delta = this.#parts.ledger.take();
    try {
      await this.#send(delta);
    } catch (error) {
      this.#parts.ledger.revert(delta);
      if (!this.#closing.signal.aborted) this.#onFailure(error);
    }
  }

  async #send(delta: Delta): Promise<void> {
    const { client, ledger } = this.#parts;
    const troubles = [...this.#parts.troubles()];
    const session = (this.#session ??= { id: randomBytes(16).toString('hex'), sequence: 0 });
    const body: AnnounceRequest = {
      peerId: this.#peerId,
      session: session.id,
      sequence: session.sequence,
      ...(session.sequence === 0 && { self: this.#self }),
      ...withoutEmpty(delta),
      ...(troubles.length > 0 && { troubles }),
    };
    const answer = await client.ask(
      { ...ANNOUNCE, body, timeoutMs: REQUEST_TIMEOUT_MS },
      this.#closing.signal,
    );
    if (answer.resync === true) {
      ledger.revert(delta);
      this.#onResync();
      return;
    }
    session.sequence++;
    ledger.confirm(delta, answer.refused?.map(({ swarm }) => swarm) ?? []);
    this.#onSuccess(answer);
  }

  #onSuccess(answer: AnnounceAnswer): void {
    const { client, logger, now, random, onAnswer } = this.#parts;
    if (this.#failures > 0) logger.info({ tracker: client.currentName }, 'the tracker answers');
    this.#failures = 0;
    this.#hasWarned = false;
    this.#notBefore = -Infinity;
    this.#intervalMs = answer.intervalMs;
    this.#heartbeatAt = now() + answer.intervalMs * (1 - INTERVAL_JITTER * random());
    if (answer.refused !== undefined) {
      const [first] = answer.refused;
      logger.warn(
        { swarms: answer.refused.length, reason: first?.reason },
        'the tracker has no room for swarms',
      );
    }
    onAnswer(answer);
  }

  /** The tracker was restarted or had given this member up. Told so twice running, something else is wrong. */
  #onResync(): void {
    this.#restart();
    if (this.#failures > 0) this.#pause();
    this.#failures++;
    this.#heartbeatAt = Math.min(this.#heartbeatAt, this.#parts.now() + this.#intervalMs);
  }

  #onFailure(error: unknown): void {
    const { client, logger } = this.#parts;
    const fields = { err: error, trackers: client.trackers };
    const level = this.#absence(error);
    const isNews = level === 'warn' ? !this.#hasWarned : this.#failures === 0;
    if (isNews) logger[level](fields, 'a tracker does not answer; trying on');
    else logger.debug(fields, 'a tracker does not answer');
    this.#hasWarned ||= level === 'warn';
    this.#failures++;
    if (client.trackers > 1) {
      client.use(client.current + 1);
      this.#restart();
    }
    this.#pause();
  }

  #restart(): void {
    this.#session = undefined;
    this.#parts.ledger.restart();
  }

  /** A short wait while there are trackers yet to be tried, then one that doubles with each time around. */
  #pause(): void {
    const { client, now, random } = this.#parts;
    const rounds = Math.floor(this.#failures / client.trackers);
    const untried = this.#failures % client.trackers !== 0;
    const capMs = Math.min(MAX_BACKOFF_MS, this.#intervalMs / 2);
    const wait = untried
      ? backoffMs(1, { baseMs: FAILOVER_MS, capMs: FAILOVER_MS, random })
      : backoffMs(rounds + 1, { baseMs: BACKOFF_MS, capMs, random });
    this.#notBefore = now() + wait;
    this.#heartbeatAt = this.#notBefore;
  }

  /** Members of one cluster meet only where they all announce, so an earlier tracker that is back is gone back to. */
  async #returnToPreferred(): Promise<void> {
    const { client, logger } = this.#parts;
    for (let position = 0; position < client.current; position++) {
      const body = { peerId: this.#peerId, swarms: [] };
      const question = { method: 'POST', path: '/v1/replicas', body, answer: Replicas } as const;
      try {
        await client.askAt(position, { ...question, timeoutMs: PROBE_TIMEOUT_MS }, this.#closing.signal);
      } catch {
        continue;
      }
      client.use(position);
      logger.info({ tracker: client.currentName }, 'back to a tracker that is preferred');
      this.#restart();
    }
  }
}

const ANNOUNCE = { method: 'POST', path: '/v1/announce', answer: Compile(AnnounceAnswer) } as const;
const Replicas = Compile(ReplicasAnswer);

function withoutEmpty(delta: Delta): Partial<Delta> {
  return Object.fromEntries(Object.entries(delta).filter(([, list]) => list.length > 0));
}
