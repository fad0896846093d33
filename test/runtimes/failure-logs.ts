import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFailed } from 'vitest';

/** What the processes printed is gone with their directory; when the running test fails, it goes to a file that is named. */
export function keepLogsOnFailure(...sources: readonly { logs(): string }[]): void {
  onTestFailed(async ({ task }) => {
    const file = join(
      tmpdir(),
      `shoal-runtimes-${task.name.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 80)}.log`,
    );
    await writeFile(file, sources.map((source) => source.logs()).join('\n══\n'));
    console.error(`logs of the failed test: ${file}`);
  });
}
