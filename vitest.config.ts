import { defineConfig } from 'vitest/config';

/** What is polled for comes in milliseconds, but a busy machine may take its time. */
const PATIENCE = { poll: { timeout: 10_000 } };

/** Most tests run over real sockets, files and processes: on a shared CI machine one may be late once; twice is a failure. */
const retry = process.env['CI'] === undefined ? 0 : 1;

/** Each project is a kind of test; `npm test` runs those that need nothing but npm. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/*.test.ts', 'test/unit/**/*.test.ts'],
          // Most of the time goes by in waiting; vitest's own choice on two cores is one.
          maxWorkers: 2,
          testTimeout: 60_000,
          retry,
          hookTimeout: 60_000,
          expect: PATIENCE,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 180_000,
          retry,
          hookTimeout: 60_000,
          expect: PATIENCE,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'hostile',
          include: ['test/hostile/**/*.test.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 60_000,
          expect: PATIENCE,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'tenants',
          include: ['test/tenants/**/*.test.ts'],
          testTimeout: 120_000,
          retry,
          hookTimeout: 120_000,
          expect: PATIENCE,
        },
      },
      {
        test: {
          name: 'runtimes',
          include: ['test/runtimes/**/*.test.ts'],
          testTimeout: 300_000,
          retry,
          hookTimeout: 120_000,
          expect: PATIENCE,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'deploy',
          include: ['test/deploy/**/*.test.ts'],
          testTimeout: 300_000,
          retry,
          hookTimeout: 120_000,
          expect: PATIENCE,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'kubernetes-api',
          include: ['test/kubernetes/api/**/*.test.ts'],
          globalSetup: ['test/kubernetes/api/setup.ts'],
          testTimeout: 120_000,
          retry,
          hookTimeout: 120_000,
          expect: PATIENCE,
          // Most of the time goes by in waiting for leases and deadlines.
          maxWorkers: 3,
        },
      },
      {
        test: {
          name: 'kubernetes-nodes',
          include: ['test/kubernetes/nodes/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          expect: PATIENCE,
        },
      },
    ],
  },
});
