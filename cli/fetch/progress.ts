import { formatBytes } from '#cli/format-bytes.ts';

/** How a fetch is shown while it runs. */
export interface Progress extends Disposable {
  /** What is to be known before bytes come. */
  note(text: string): void;
  /** Once, when the sum of all sizes is known. */
  begin(totalBytes: number): void;
  advance(bytes: number): void;
  /** A blob's read failed for this reason and is tried again. */
  retrying(name: string, reason: string): void;
  /** A blob is whole. */
  finished(name: string, bytes: number, note: string | undefined): void;
}

/** Narrower ones would break the bar into lines; some pseudo-terminals tell no width. */
const BAR_COLUMNS = 60;

/** A bar on a terminal, else one line for each blob. */
export async function createProgress(title: string, output: NodeJS.WriteStream): Promise<Progress> {
  return output.isTTY && output.columns >= BAR_COLUMNS
    ? barProgress(title, output)
    : lineProgress(title, output);
}

function lineProgress(title: string, output: { write(text: string): unknown }): Progress {
  const told = new Map<string, string>();
  return {
    note: (text) => output.write(`${title}: ${text}\n`),
    begin: (total) => output.write(`${title}: ${formatBytes(total)}\n`),
    advance: () => {},
    retrying(name, reason) {
      // As often as it fails for another reason: tries follow each other for a minute.
      if (told.get(name) !== reason) output.write(`${name}: trying again: ${reason}\n`);
      told.set(name, reason);
    },
    finished: (name, bytes, note) =>
      output.write(`${name} ${formatBytes(bytes)}${note === undefined ? '' : ` (${note})`}\n`),
    [Symbol.dispose]: () => {},
  };
}

async function barProgress(title: string, output: NodeJS.WriteStream): Promise<Progress> {
  const { progress } = await import('@clack/prompts');
  let bar: ReturnType<typeof progress> | undefined;
  let done = 0;
  let total = 0;
  let told = '';
  const broken = new Map<string, string>();
  const message = (): string => {
    const trouble = [...broken.values()].map((reason) => `  trying again: ${reason}`).join('');
    return `${title}  ${formatBytes(done)} of ${formatBytes(total)}${trouble || told}`;
  };
  return {
    note: (text) => output.write(`${title}: ${text}\n`),
    begin(bytes) {
      total = bytes;
      bar = progress({ max: Math.max(1, bytes), output });
      bar.start(message());
    },
    advance(bytes) {
      done += bytes;
      bar?.advance(bytes, message());
    },
    retrying(name, reason) {
      broken.set(name, reason);
      bar?.message(message());
    },
    finished(name, _bytes, note) {
      broken.delete(name);
      told = note === undefined ? '' : `  ${note}`;
      bar?.message(message());
    },
    [Symbol.dispose]() {
      if (done >= total) bar?.stop(message());
      else bar?.error(message());
    },
  };
}
