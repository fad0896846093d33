/** A process of its own that writes into a store until it is killed; tells each step by a line. */
import { BlobStore } from '#swarm/store/blob-store.ts';
import { content, KIB } from './store-fixture.ts';

const PIECE = 256 * KIB;
const [directory = '', pieces = '0'] = process.argv.slice(2);
const logger = { debug: () => {}, info: () => {}, warn: () => {} };
const store = await BlobStore.open(
  { directory, quotaBytes: 2 ** 30 },
  { now: Date.now, onEvict: () => {}, logger },
);
const whole = content('whole', 3 * PIECE);
await (
  await store.put(whole.digest, whole.bytes, { registries: ['r.io'] })
).written;

const { bytes, digest } = content('half', Number(pieces) * PIECE);
const partial = await store.partial({ digest, scope: 'r.io' }, bytes.length);
for (let index = 0; ; index = (index + 1) % Number(pieces)) {
  await partial.write(index * PIECE, bytes.subarray(index * PIECE, (index + 1) * PIECE));
  await partial.appendBatch(Buffer.from(`batch ${index}`));
  process.stdout.write(`${index}\n`);
}
