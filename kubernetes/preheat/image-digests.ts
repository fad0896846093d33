import type { PreheatStatus } from './image-preheat.ts';

/** As many nodes must find the same digest behind a tag: one alone may be out of date, or lie. */
const WITNESSES = 2;

/** Which digest each image of a preheat stands for, so that all nodes get the same. */
export class ImageDigests {
  readonly #agreed: Map<string, string>;
  /** By image: nodes that were asked by its tag, and what they found; undefined: nothing yet. */
  readonly #found = new Map<string, Map<string, string | undefined>>();

  /** @param known what was agreed on before */
  constructor(known: NonNullable<PreheatStatus['images']>) {
    this.#agreed = new Map(known.flatMap(({ image, digest }) => (digest ? [[image, digest]] : [])));
  }

  /** By image. */
  get agreed(): ReadonlyMap<string, string> {
    return this.#agreed;
  }

  /** The name by which a node is asked. Who was asked by the tag, and found nothing else, goes on by it: to an agent it is one work. */
  nameFor(node: string, image: string): string {
    if (image.includes('@')) return image;
    const agreed = this.#agreed.get(image);
    const found = this.#found.get(image) ?? new Map<string, string | undefined>();
    this.#found.set(image, found);
    if (agreed !== undefined && !(found.has(node) && this.isRight(node, image))) return `${image}@${agreed}`;
    if (!found.has(node)) found.set(node, undefined);
    return image;
  }

  /**
   * Takes what a node found. Where no two of them found the same, the first one's counts in the end.
   * @param nodes how many are selected
   * @returns whether the image's digest is agreed on since
   */
  took(node: string, image: string, digest: string, nodes: number): boolean {
    const found = this.#found.get(image);
    if (this.#agreed.has(image)) {
      if (found?.has(node) === true) found.set(node, digest);
      return false;
    }
    if (found === undefined) {
      this.#agreed.set(image, image.slice(image.indexOf('@') + 1));
      return true;
    }
    found.set(node, digest);
    const all = [...found.values()].filter((one) => one !== undefined);
    const isSeconded = all.filter((one) => one === digest).length >= WITNESSES;
    if (!isSeconded && all.length < nodes) return false;
    this.#agreed.set(image, isSeconded ? digest : all[0]!);
    return true;
  }

  /** What the node found is not another than what was agreed on. */
  isRight(node: string, image: string): boolean {
    const [agreed, found] = [this.#agreed.get(image), this.#found.get(image)?.get(node)];
    return agreed === undefined || found === undefined || found === agreed;
  }
}
