import { renderLive, renderPlain, type LiveModel } from './live-table.ts';

const FRAME_MS = 100;
const PLAIN_MS = 3000;

/** As much of a `tty.WriteStream` as it takes. */
export interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** Draws in place on a terminal; elsewhere writes a line every three seconds. The caller brings the clock. */
export class LiveWriter {
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawn = 0;
  #last = -Infinity;

  /** `now` in milliseconds. */
  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
  }

  /** May be called as often as one likes. */
  update(model: LiveModel): void {
    if (this.#now() - this.#last < (this.#screen.isTTY === true ? FRAME_MS : PLAIN_MS)) return;
    this.#draw(model);
  }

  /** The last picture stays, and what is written next stands below it. */
  finish(model: LiveModel): void {
    this.#draw(model);
    this.#drawn = 0;
    this.#last = -Infinity;
  }

  #draw(model: LiveModel): void {
    this.#last = this.#now();
    if (this.#screen.isTTY !== true) return void this.#screen.write(`${renderPlain(model)}\n`);
    // A terminal that does not know its size says 0.
    const lines = renderLive(model, { columns: this.#screen.columns || 80, rows: this.#screen.rows || 24 });
    // Up to the first line of the last picture, and everything from there on is wiped.
    const home = this.#drawn === 0 ? '' : `\x1b[${this.#drawn}A\x1b[0J`;
    this.#drawn = lines.length;
    this.#screen.write(`${home}${lines.join('\n')}\n`);
  }
}
