/** What an agent that does nothing says of itself. */
export const STATUS = {
  store: { blobs: 1, bytes: 2000, partialBytes: 0, quotaBytes: 8000, evictions: 0, refusals: 0 },
  limits: { downloadBytesPerSecond: null, uploadBytesPerSecond: null },
  swarm: { torrents: 0, downloading: 0, connections: 0, seeded: 1 },
  trackers: { members: ['10.0.0.2:29510'], reachable: true },
  origins: { members: ['10.0.0.3:29520', '10.0.0.4:29520'], reachable: true },
  requests: 0,
  pulls: 0,
};
