import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './process.ts';

/** Paths of a certificate and its key, in PEM. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority of a test. Needs `openssl`. */
export interface Authority extends Pair {
  /**
   * Issues a certificate for servers and clients.
   * @param name of its files, without the ending
   * @param hosts as in `subjectAltName`, such as `DNS:localhost`
   */
  issue(name: string, hosts?: string, ...options: string[]): Promise<Pair>;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Makes an authority whose files, and those of its certificates, lie in a folder. */
export async function authority(folder: string, name = 'authority'): Promise<Authority> {
  const pathsOf = (file: string): Pair => ({
    certificate: join(folder, `${file}.crt`),
    key: join(folder, `${file}.key`),
  });
  const own = pathsOf(name);
  const subject = ['-subj', `/CN=${name}`];
  await command('openssl', [
    'req',
    '-x509',
    ...newKey,
    ...subject,
    '-keyout',
    own.key,
    '-out',
    own.certificate,
  ]);
  const issue: Authority['issue'] = async (file, hosts = 'DNS:localhost,IP:127.0.0.1', ...options) => {
    const pair = pathsOf(file);
    const [request, extensions] = [join(folder, `${file}.csr`), join(folder, `${file}.ext`)];
    writeFileSync(extensions, `subjectAltName=${hosts}\n`);
    await command('openssl', [
      'req',
      '-new',
      ...newKey,
      '-subj',
      `/CN=${file}`,
      '-keyout',
      pair.key,
      '-out',
      request,
    ]);
    const by = ['-CA', own.certificate, '-CAkey', own.key, '-CAcreateserial', '-extfile', extensions];
    await command('openssl', ['x509', '-req', '-in', request, ...by, '-out', pair.certificate, ...options]);
    return pair;
  };
  return { ...own, issue };
}
