import { setFlagsFromString } from 'node:v8';

/**
 * For a process that reads much by HTTP: each 64 KiB of it is a buffer of its own, and without this flag of Node 26
 * V8 marks all of the heap after each 10 MiB or so of them.
 */
export function countBuffersAsHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}
