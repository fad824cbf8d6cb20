import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { readCertificates, type CertificateFiles, type Certificates } from '../config/certificates.ts';

/** How often the files are checked. */
const intervalMs = 2_000;

/**
 * Reads certificates again when their files change: in place, by a rename, or by the symbolic links of Kubernetes. Files that
 * cannot be used are reported and change nothing.
 * @returns a function that ends the watch
 */
export function watchCertificates(
  files: CertificateFiles,
  log: Pick<Logger, 'info' | 'warn' | 'error'>,
  onRenewed: (certificates: Certificates) => void,
): () => void {
  let used: string | undefined;
  let failed: string | undefined;
  let reported: string | undefined;
  const check = async () => {
    const version = await versionOf(files);
    used ??= version;
    if (version === used) return;
    try {
      const certificates = readCertificates(files);
      used = version;
      onRenewed(certificates);
      log.info({ certificate: files.certificate }, 'the TLS certificate was renewed');
      for (const warning of certificates.warnings) log.warn(warning);
    } catch (error) {
      // The certificate and its key are rarely replaced at once, so the first failure may be gone by the next check.
      if (version === failed && version !== reported) {
        log.error(
          `the renewed TLS certificate cannot be used, and the old one stays: ${(error as Error).message}`,
        );
        reported = version;
      }
      failed = version;
    }
  };
  let checking = check();
  const timer = setInterval(() => {
    checking = checking.then(check);
  }, intervalMs).unref();
  return () => {
    clearInterval(timer);
  };
}

/** Changes whenever one of the files does. Symbolic links are followed. */
async function versionOf({ certificate, key, clientCas }: CertificateFiles): Promise<string> {
  const versions = [certificate, key, ...clientCas].map(async (path) => {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
  });
  return (await Promise.all(versions)).join();
}
