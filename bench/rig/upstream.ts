import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY, UPSTREAM_PORT } from './defaults.ts';
import { MANIFEST_TYPE, type Content } from './content.ts';
import type { Host } from './network.ts';
import { NamespacedProcess } from './process.ts';

/** The upstream registry of a rig. */
export interface UpstreamServer extends AsyncDisposable {
  readonly process: NamespacedProcess;
  readonly host: Host;
  /** As it stands in the `ns` of a pull. */
  readonly registry: string;
  /** Body bytes of all answers so far; of those under way nothing may count yet. */
  bytesSent(): Promise<number>;
}

/** An upstream registry that costs next to nothing: nginx sends the files of the content (sendfile), to anybody. */
export class Upstream implements UpstreamServer {
  readonly process: NamespacedProcess;
  readonly host: Host;
  readonly #accessLog: string;

  private constructor(started: NamespacedProcess, host: Host, accessLog: string) {
    this.process = started;
    this.host = host;
    this.#accessLog = accessLog;
  }

  static async start(host: Host, content: Content, directory: string): Promise<Upstream> {
    await mkdir(directory, { recursive: true });
    const file = join(directory, 'nginx.conf');
    const accessLog = join(directory, 'access.log');
    await writeFile(accessLog, '');
    await writeFile(file, nginxConfig(host.address, content, directory));
    const started = await NamespacedProcess.start({
      name: 'nginx',
      namespace: host.namespace,
      program: 'nginx',
      args: ['-p', directory, '-c', file, '-e', join(directory, 'error.log')],
      logFile: join(directory, 'nginx.log'),
    });
    return new Upstream(started, host, accessLog);
  }

  get registry(): string {
    return `${this.host.address}:${UPSTREAM_PORT}`;
  }

  async bytesSent(): Promise<number> {
    const lines = (await readFile(this.#accessLog, 'utf8')).trim().split('\n');
    return lines.reduce((sum, line) => sum + Number(line.split(' ')[3] ?? 0), 0);
  }

  async requests(): Promise<number> {
    return (await readFile(this.#accessLog, 'utf8')).split('\n').length - 1;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.process[Symbol.asyncDispose]();
  }
}

/** One process, all of whose files are in its directory. */
function nginxConfig(address: string, { directory: root, manifest }: Content, directory: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${directory}/${kind};`)
    .join('\n');
  const tagged = manifest === undefined ? '' : `add_header Docker-Content-Digest ${manifest.digest};`;
  return `daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log;
events { worker_connections 1024; }
http {
  log_format sent '$request_method $request_uri $status $body_bytes_sent';
  access_log ${directory}/access.log sent;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
${temporary}
  server {
    listen ${address}:${UPSTREAM_PORT};
    default_type application/octet-stream;
    location = /v2/ { return 200 '{}'; }
    location ~ "^/v2/${REPOSITORY}/blobs/(sha256:[0-9a-f]+)$" {
      alias ${root}/blobs/$1;
      add_header Docker-Content-Digest $1;
    }
    location ~ "^/v2/${REPOSITORY}/manifests/(.+)$" {
      types { }
      default_type ${MANIFEST_TYPE};
      alias ${root}/manifests/$1;
      ${tagged}
    }
  }
}
`;
}
