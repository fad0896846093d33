/** Only the rig makes namespaces of this name; the process id of the run follows. */
export const NAMESPACE_PREFIX = 'shoal-bench-';
/** As deployed, see docs/configuration.md. */
export const DOOR_PORT = 29_500;
export const AGENT_STATUS_PORT = 29_501;
export const TRACKER_PORT = 29_510;
export const TRACKER_STATUS_PORT = 29_511;
export const ORIGIN_PORT = 29_520;
export const ORIGIN_STATUS_PORT = 29_521;
export const UPSTREAM_PORT = 5000;
export const REPOSITORY = 'bench/content';
export const TAG = 'latest';
/** Layers that containerd fetches at a time (`max_concurrent_downloads`). */
export const RUNTIME_CONCURRENCY = 3;
