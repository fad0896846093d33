export { pullBlob, type PulledBlob, type PullOptions } from '../../demo/pull-blob.ts';
