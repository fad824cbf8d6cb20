import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { whyFailed } from './files.ts';

/** Paths of PEM files. */
export interface CertificateFiles {
  /** The certificate, followed by those of its issuers. */
  readonly certificate: string;
  readonly key: string;
  /** Authorities whose clients are admitted. */
  readonly clientCas: readonly string[];
}

/** The contents of {@link CertificateFiles}, which fit together. */
export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly ca: readonly string[];
  /** What is probably not meant so, such as a certificate that has expired. */
  readonly warnings: readonly string[];
}

/** A file of {@link CertificateFiles} that cannot be used. The message names the setting and says what is wrong. */
export class CertificateError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('; '));
    this.faults = faults;
  }
}

const settingOf = {
  certificate: 'REGISTRY_HTTP_TLS_CERTIFICATE',
  key: 'REGISTRY_HTTP_TLS_KEY',
  clientCas: 'REGISTRY_HTTP_TLS_CLIENTCAS',
} as const;

/** Reads the files and checks that they fit together. @throws CertificateError with all faults */
export function readCertificates(files: CertificateFiles): Certificates {
  const faults: string[] = [];
  const attempt = <T>(setting: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      faults.push(`${setting}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const cert = attempt(settingOf.certificate, () => readCertificate(files.certificate));
  const key = attempt(settingOf.key, () => readKey(files.key));
  const ca = files.clientCas.map((path) => attempt(settingOf.clientCas, () => readCertificate(path)));
  if (cert !== undefined && key !== undefined)
    attempt(settingOf.key, () => {
      assertPair(cert, key, files);
    });
  if (cert === undefined || key === undefined || faults.length > 0) throw new CertificateError(faults);
  return {
    cert: cert.pem,
    key: key.pem,
    ca: ca.flatMap((authority) => authority?.pem ?? []),
    warnings: validity(cert.first, files.certificate),
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${path} ${whyFailed(error)}; name a PEM file that exists and that this user may read`, {
      cause: error,
    });
  }
}

/** Reads one or more certificates. OpenSSL would use those before the first that is damaged, and drop the rest. */
function readCertificate(path: string): { readonly pem: string; readonly first: X509Certificate } {
  const pem = readPem(path);
  const blocks = pem.match(pemBlock) ?? [];
  const certificates = blocks
    .filter((block) => /^-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/.test(block))
    .map((block, index) => {
      try {
        return new X509Certificate(block);
      } catch (error) {
        throw new Error(`certificate ${index + 1} in ${path} is damaged; write the whole file again`, {
          cause: error,
        });
      }
    });
  if (/-----(?:BEGIN|END) /.test(pem.replace(pemBlock, '')))
    throw new Error(`${path} is incomplete: a BEGIN or END is without the other; write the whole file again`);
  const [first] = certificates;
  if (first === undefined) throw new Error(`${path} has no certificate in PEM (-----BEGIN CERTIFICATE-----)`);
  return { pem, first };
}

/** From a line `-----BEGIN x-----` to the next `-----END x-----`, without another BEGIN. */
const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----(?:(?!-----)[^])*-----END \1-----/g;

function readKey(path: string): { readonly pem: string; readonly key: KeyObject } {
  const pem = readPem(path);
  try {
    return { pem, key: createPrivateKey(pem) };
  } catch (error) {
    throw new Error(
      pem.includes('ENCRYPTED')
        ? `${path} is encrypted; decrypt it: openssl pkey -in ${path} -out decrypted.pem`
        : `${path} has no private key in PEM (-----BEGIN PRIVATE KEY-----)`,
      { cause: error },
    );
  }
}

function assertPair(
  { pem: cert, first }: ReturnType<typeof readCertificate>,
  { pem, key }: ReturnType<typeof readKey>,
  files: CertificateFiles,
): void {
  if (!first.checkPrivateKey(key))
    throw new Error(
      `${files.key} is not the key of the certificate in ${files.certificate}, which must be the first in its file`,
    );
  try {
    createSecureContext({ cert, key: pem });
  } catch (error) {
    throw new Error(`OpenSSL does not take ${files.certificate} (${(error as Error).message})`, {
      cause: error,
    });
  }
}

function validity({ validFromDate, validToDate }: X509Certificate, path: string): string[] {
  const now = Date.now();
  if (validToDate.getTime() < now)
    return [
      `the certificate in ${path} expired on ${validToDate.toISOString()}, so clients refuse it; renew it`,
    ];
  return validFromDate.getTime() > now
    ? [`the certificate in ${path} is valid only from ${validFromDate.toISOString()}, so clients refuse it`]
    : [];
}
