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
  let used: Versions | undefined;
  let failed: string | undefined;
  let reported: string | undefined;
  const check = async () => {
    const versions = await versionsOf(files);
    used ??= versions;
    const changed = [...versions].flatMap(([path, version]) => (used?.get(path) === version ? [] : [path]));
    if (changed.length === 0) return;
    const version = [...versions.values()].join();
    try {
      const certificates = readCertificates(files);
      used = versions;
      onRenewed(certificates);
      log.info({ changed }, 'the TLS files were renewed');
      for (const warning of certificates.warnings) log.warn(warning);
    } catch (error) {
      // The certificate and its key are rarely replaced at once, so the first failure may be gone by the next check.
      if (version === failed && version !== reported) {
        log.error(
          { changed },
          `the renewed TLS files cannot be used, and the old ones stay: ${(error as Error).message}`,
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

/** By path: a text that changes whenever the file does. */
type Versions = ReadonlyMap<string, string>;

/** Symbolic links are followed. */
async function versionsOf({ certificate, key, clientCas }: CertificateFiles): Promise<Versions> {
  const versions = [certificate, key, ...clientCas].map(
    async (path) => [path, await versionOf(path)] as const,
  );
  return new Map(await Promise.all(versions));
}

async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}
