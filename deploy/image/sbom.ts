import type { BaseLock } from './base-lock.ts';
import { command } from './command.ts';
import type { Platform } from './platform.ts';

interface Component {
  readonly name: string;
  readonly [member: string]: unknown;
}

/** The members of a CycloneDX document (1.5) that are looked at here. */
interface CycloneDx {
  readonly metadata: { readonly component: object };
  readonly components: readonly Component[];
  readonly dependencies: readonly object[];
}

/**
 * A CycloneDX document of what the image holds: the packages of package-lock.json as npm lists them, Node, and
 * Debian's libraries. Time, serial number and npm's own version are left out: equal images have equal documents.
 */
export async function describeContents(
  project: string,
  lock: BaseLock,
  platform: Platform,
): Promise<CycloneDx> {
  const args = ['sbom', '--omit=dev', '--sbom-format=cyclonedx', '--package-lock-only', '--loglevel=error'];
  const npm: CycloneDx = JSON.parse(await command('npm', args, { cwd: project }));
  const contents = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { ...npm.metadata.component, type: 'application', name: 'shoal' } },
    components: [
      ...npm.components.map(plain),
      nodeComponent(lock, platform),
      ...debianComponents(lock, platform),
    ],
    dependencies: npm.dependencies,
  };
  return contents;
}

/** Without the place that it was downloaded from, which differs from site to site. */
function plain(component: Component): Component {
  return { ...component, externalReferences: [] };
}

function nodeComponent({ node }: BaseLock, { npm }: Platform): Component {
  const purl = `pkg:npm/node-linux-${npm}@${node.version}`;
  return { 'bom-ref': purl, type: 'platform', name: 'node', version: node.version, purl };
}

function debianComponents({ debian }: BaseLock, { architecture }: Platform): Component[] {
  return Object.entries(debian.packages).map(([name, { version, [architecture]: sha256 }]) => {
    const qualifiers = `arch=${architecture}&distro=${debian.release}`;
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${qualifiers}`;
    return {
      'bom-ref': purl,
      type: 'library',
      name,
      version,
      purl,
      hashes: [{ alg: 'SHA-256', content: sha256 }],
    };
  });
}
