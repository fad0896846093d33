import { fileURLToPath } from 'node:url';
import type { AttemptOrder, AttemptReport } from './attempt.ts';
import type { Host } from './network.ts';
import { NamespacedProcess } from './process.ts';
import type { PullOrder, PullReport } from './pull.ts';
import type { Answer, Numbered, Progress, Task } from './resident.ts';

const PROGRAM = fileURLToPath(new URL('resident.ts', import.meta.url));

/** Does things inside a host's namespace. */
export class Hand implements AsyncDisposable {
  readonly #process: NamespacedProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #watching = new Map<number, (bytes: number) => void>();
  #number = 0;

  private constructor(started: NamespacedProcess) {
    this.#process = started;
    started.child.on('message', (answer: Answer | Progress) => {
      if (answer.kind === 'progress') return this.#watching.get(answer.number)?.(answer.bytes);
      this.#waiting.get(answer.number)?.resolve(answer);
      this.#waiting.delete(answer.number);
    });
    void started.ended.then((how) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${started.name} ${how}`));
      this.#waiting.clear();
    });
  }

  static async start(host: Host, logFile: string): Promise<Hand> {
    const { namespace } = host;
    const name = `hand at ${host.name}`;
    return new Hand(
      await NamespacedProcess.start({ name, namespace, program: process.execPath, args: [PROGRAM], logFile }),
    );
  }

  get process(): NamespacedProcess {
    return this.#process;
  }

  async pull(order: PullOrder, signal: AbortSignal): Promise<PullReport> {
    const answer = await this.#ask({ kind: 'pull', order }, signal);
    if (answer.kind !== 'pull') throw new Error(failureOf(answer));
    return answer.report;
  }

  /** @param onProgress told now and then how many bytes have come */
  async attempt(
    order: AttemptOrder,
    signal: AbortSignal,
    onProgress: (bytes: number) => void,
  ): Promise<AttemptReport> {
    const answer = await this.#ask({ kind: 'attempt', order }, signal, onProgress);
    if (answer.kind !== 'attempt') throw new Error(failureOf(answer));
    return answer.report;
  }

  async text(
    at: { host: string; port: number; path: string },
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }> {
    const answer = await this.#ask({ kind: 'text', ...at }, signal);
    if (answer.kind !== 'text') throw new Error(failureOf(answer));
    return answer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process.kill();
  }

  async #ask(task: Task, signal: AbortSignal, onProgress?: (bytes: number) => void): Promise<Answer> {
    signal.throwIfAborted();
    const number = ++this.#number;
    const waiting = Promise.withResolvers<Answer>();
    const abort = (): void => waiting.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    this.#waiting.set(number, waiting);
    if (onProgress !== undefined) this.#watching.set(number, onProgress);
    const message: Numbered = { number, task };
    this.#process.child.send(message, (error) => {
      if (error) waiting.reject(error);
    });
    try {
      return await waiting.promise;
    } finally {
      this.#waiting.delete(number);
      this.#watching.delete(number);
      signal.removeEventListener('abort', abort);
    }
  }
}

function failureOf(answer: Answer): string {
  return answer.kind === 'failed' ? answer.message : `an answer of the kind ${answer.kind} came unasked`;
}
