import { DataFile } from './data-file.ts';

/** One descriptor for all who have the same blob open; closed when the last of them lets go. */
export class SharedFile {
  readonly file: Promise<DataFile>;
  #holders = 0;

  constructor(file: Promise<DataFile>) {
    this.file = file;
    // Each holder awaits it and sees the failure itself.
    file.catch(() => {});
  }

  static open(path: string): SharedFile {
    return new SharedFile(DataFile.open(path, 'read'));
  }

  hold(): void {
    this.#holders += 1;
  }

  /** True when this was the last holder. */
  letGo(): boolean {
    this.#holders -= 1;
    return this.#holders === 0;
  }

  async close(): Promise<void> {
    const file = await this.file.catch(() => undefined);
    await file?.close();
  }
}
