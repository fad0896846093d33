/** A runtime's file cannot be changed as it is; says which file, what is wrong, and that nothing was changed. */
export class RuntimeConfigError extends Error {
  override readonly name = 'RuntimeConfigError';
}

/** How our part gets into one file and out of it again. Both are pure and keep everything that is not ours. */
export interface Edit {
  /**
   * @param text the file, marked parts of an earlier run replaced; undefined where there is no file.
   * @throws RuntimeConfigError where the text is malformed.
   */
  insert(text: string | undefined): string;
  /**
   * @param text a file that may have our part.
   * @returns the text without it; undefined where nothing else is left.
   * @throws RuntimeConfigError where the text is malformed.
   */
  strip(text: string): string | undefined;
}

/** The two lines around our part of a TOML file. */
const BEGIN = '# >>> shoal: written by "shoal config", taken out by "shoal config --remove"';
const END = '# <<< shoal';

const BLOCK = new RegExp(`^${escape(BEGIN)}\\r?\\n[^]*?^${escape(END)}(?:\\r?\\n|$)`, 'gm');

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

/** Our part of a TOML file between its marks. */
export function markBlock(lines: readonly string[]): string {
  return `${[BEGIN, ...lines, END].join('\n')}\n`;
}

/** The text without marked parts; undefined where only white space is left. */
export function stripBlocks(text: string): string | undefined {
  const rest = text.replaceAll(BLOCK, '');
  return rest.trim() === '' && rest !== text ? undefined : rest;
}
