import { attempt, type AttemptOrder, type AttemptReport } from './attempt.ts';
import { HttpConnection } from '../../demo/http-connection.ts';
import { pull, type PullOrder, type PullReport } from './pull.ts';

/**
 * The rig's hand in a namespace: the door and the status listener are on loopback, so only a process in there can ask.
 * It runs as a program, gets tasks over its channel and answers each by its number.
 */
export type Task =
  | { readonly kind: 'pull'; readonly order: PullOrder }
  | { readonly kind: 'attempt'; readonly order: AttemptOrder }
  | { readonly kind: 'text'; readonly host: string; readonly port: number; readonly path: string };

export interface Numbered {
  readonly number: number;
  readonly task: Task;
}

export type Answer = { readonly number: number } & (
  | { readonly kind: 'pull'; readonly report: PullReport }
  | { readonly kind: 'attempt'; readonly report: AttemptReport }
  | { readonly kind: 'text'; readonly status: number; readonly text: string }
  | { readonly kind: 'failed'; readonly message: string }
);

/** Of an attempt: how many bytes have come so far. */
export interface Progress {
  readonly number: number;
  readonly kind: 'progress';
  readonly bytes: number;
}

async function perform({ number, task }: Numbered): Promise<Answer> {
  try {
    if (task.kind === 'pull') return { number, kind: 'pull', report: await pull(task.order) };
    if (task.kind === 'attempt') {
      const tell = (bytes: number): void => {
        const progress: Progress = { number, kind: 'progress', bytes };
        process.send?.(progress);
      };
      return { number, kind: 'attempt', report: await attempt(task.order, tell) };
    }
    return { number, kind: 'text', ...(await readText(task)) };
  } catch (error) {
    return { number, kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

async function readText(task: Extract<Task, { kind: 'text' }>): Promise<{ status: number; text: string }> {
  const connection = new HttpConnection(task);
  const parts: Buffer[] = [];
  try {
    const { path } = task;
    const { status } = await connection.get({ path, onBody: (chunk) => parts.push(Buffer.from(chunk)) });
    return { status, text: Buffer.concat(parts).toString() };
  } finally {
    connection.close();
  }
}

process.on('message', (message: Numbered) => {
  void perform(message).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());
