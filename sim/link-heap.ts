/** A binary heap of links, the one with the least key first. */
export class LinkHeap {
  #links = new Int32Array(64);
  #keys = new Float64Array(64);
  size = 0;

  /** Of the one that `pop` would give. */
  get leastKey(): number {
    return this.#keys[0]!;
  }

  push(link: number, key: number): void {
    if (this.size === this.#links.length) this.#grow();
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keys[parent]! <= key) break;
      this.#links[at] = this.#links[parent]!;
      this.#keys[at] = this.#keys[parent]!;
      at = parent;
    }
    this.#links[at] = link;
    this.#keys[at] = key;
  }

  pop(): number {
    const first = this.#links[0]!;
    const size = --this.size;
    const link = this.#links[size]!;
    const key = this.#keys[size]!;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.#keys[child + 1]! < this.#keys[child]!) child++;
      if (this.#keys[child]! >= key) break;
      this.#links[at] = this.#links[child]!;
      this.#keys[at] = this.#keys[child]!;
      at = child;
    }
    this.#links[at] = link;
    this.#keys[at] = key;
    return first;
  }

  #grow(): void {
    const links = new Int32Array(this.size * 2);
    const keys = new Float64Array(this.size * 2);
    links.set(this.#links);
    keys.set(this.#keys);
    this.#links = links;
    this.#keys = keys;
  }
}
