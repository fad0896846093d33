import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './program.ts';

export interface Certificate {
  certFile: string;
  keyFile: string;
  /** PEM. */
  cert: string;
  key: string;
}

/** A self-signed ECDSA P-256 certificate for an IP address and 127.0.0.1, so it is its own CA; two files in `directory`. */
export async function makeCertificate(
  directory: string,
  name: string,
  ip = '127.0.0.1',
): Promise<Certificate> {
  const certFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  const request = [
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
  ];
  const subject = ['-days', '2', '-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${ip},IP:127.0.0.1`];
  await run([...request, ...subject, '-keyout', keyFile, '-out', certFile]);
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return { certFile, keyFile, cert, key };
}
