import type { TestProject } from 'vitest/node';

import { tools } from '../control-plane.ts';

declare module 'vitest' {
  // eslint-disable-next-line
  interface ProvidedContext {
    /** The folder of the built binaries. */
    tools: string;
  }
}

/** Builds what is missing before any test's time runs. */
export async function setup(project: TestProject): Promise<void> {
  project.provide('tools', await tools('etcd', 'kube-apiserver', 'helm'));
}
