import type { Cell } from './cell.ts';

const HEADS = [
  'what goes wrong',
  'at',
  'pulls',
  'succeeded',
  'wrong bytes',
  'longest silence',
  'over undisturbed',
  'kept',
];

/** @param undisturbed seconds of a pull in which nothing goes wrong */
function cellsOf(cell: Cell, undisturbed: number): string[] {
  return [
    cell.what,
    `${cell.moment} %`,
    String(cell.pulls),
    String(cell.succeeded),
    String(cell.wrongBytes),
    `${cell.silenceSeconds.toFixed(2)} s`,
    `${(cell.seconds - undisturbed).toFixed(1)} s`,
    cell.kept === undefined ? '' : `${(cell.kept * 100).toFixed(0)} %`,
  ];
}

/** One line, for who waits. */
export function renderLine(cell: Cell, undisturbed: number): string {
  const [, at, pulls, succeeded, wrong, silence, over, kept] = cellsOf(cell, undisturbed);
  const whole = `${succeeded} of ${pulls}, ${wrong} wrong bytes, silence ${silence}, ${over} over`;
  const complaints = cell.complaints.map((text) => `\n          ! ${text}`).join('');
  return `${cell.fault} at ${at}: ${whole}${kept === '' ? '' : `, ${kept} kept`}${complaints}`;
}

/** As oxfmt would have it. */
export function renderMarkdown(cells: readonly Cell[], undisturbed: number): string {
  const rows = [HEADS, ...cells.map((cell) => cellsOf(cell, undisturbed))];
  const widths = HEADS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}
