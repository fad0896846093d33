/** What came of one cell. `leak`: bytes that are not for this caller; `missing`: the caller had a right to them. */
export type Cell = 'read' | 'nothing' | 'leak' | 'missing';

const SIGNS: Readonly<Record<Cell, string>> = {
  read: 'read',
  nothing: '·',
  leak: 'LEAK',
  missing: 'MISSING',
};

/** Cells by row and column, in the order in which they came. */
export class Matrix {
  readonly #rows = new Map<string, Map<string, Cell>>();

  set(row: string, column: string, cell: Cell): void {
    const cells = this.#rows.get(row) ?? new Map<string, Cell>();
    this.#rows.set(row, cells.set(column, cell));
  }

  /** `row, column: cell` of all that should not be. */
  faults(row: string): string[] {
    return [...(this.#rows.get(row) ?? [])]
      .filter(([, cell]) => cell === 'leak' || cell === 'missing')
      .map(([column, cell]) => `${row}, ${column}: ${cell}`);
  }

  toString(): string {
    const columns = [...new Set([...this.#rows.values()].flatMap((cells) => Array.from(cells.keys())))];
    const first = Math.max(...[...this.#rows.keys()].map((row) => row.length));
    const line = (head: string, cells: readonly string[]): string =>
      [head.padEnd(first), ...cells.map((cell, at) => cell.padEnd(columns[at]?.length ?? 0))]
        .join('  ')
        .trimEnd();
    const body = [...this.#rows].map(([row, cells]) =>
      line(
        row,
        columns.map((column) => SIGNS[cells.get(column) ?? 'nothing']),
      ),
    );
    return [line('', columns), ...body].join('\n');
  }
}
