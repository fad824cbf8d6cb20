import { resolve } from 'node:path';
import {
  CertificateError,
  readCertificates,
  type CertificateFiles,
  type Certificates,
} from './certificates.ts';
import { quoted, type Settings } from './settings.ts';

/** TLS of the streaming server. The settings have the names of distribution. */
export interface TlsConfig {
  readonly files: CertificateFiles;
  /** As they were at the start. */
  readonly certificates: Certificates;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** By OpenSSL's names, separated by colons; undefined for Node's. */
  readonly ciphers: string | undefined;
  /** Whether clients must or may show a certificate of an authority in `files.clientCas`. */
  readonly clientCertificates: 'none' | 'optional' | 'required';
}

const [certificateName, keyName] = ['REGISTRY_HTTP_TLS_CERTIFICATE', 'REGISTRY_HTTP_TLS_KEY'] as const;

/**
 * Reads `REGISTRY_HTTP_TLS_…`.
 * @param opensFiles false for programs that do not listen, where the files need not exist
 */
export function readTls(settings: Settings, opensFiles: boolean): TlsConfig | undefined {
  const [certificate, key] = [settings.text(certificateName), settings.text(keyName)];
  const options = {
    minVersion: readMinimum(settings),
    ciphers: readCiphers(settings),
    ...readClients(settings),
  };
  if (certificate === undefined || key === undefined) {
    reportMissing(settings, { certificate, key });
    return undefined;
  }
  if (!opensFiles) return undefined;
  const { clientCas, ...rest } = options;
  const files = { certificate: resolve(certificate), key: resolve(key), clientCas };
  try {
    return { files, certificates: readCertificates(files), ...rest };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    for (const fault of error.faults) settings.fault(fault);
    return undefined;
  }
}

function reportMissing(
  settings: Settings,
  { certificate, key }: Readonly<Record<'certificate' | 'key', string | undefined>>,
): void {
  if (certificate !== undefined)
    settings.fault(`${keyName}: missing; name the file with the key of ${certificateName}`);
  else if (key !== undefined)
    settings.fault(`${certificateName}: missing; name the file with the certificate of ${keyName}`);
  else if (settings.hasAny('REGISTRY_HTTP_TLS_CLIENT'))
    settings.fault(
      `REGISTRY_HTTP_TLS_CLIENT…: has no effect without ${certificateName}; set that, or remove it`,
    );
}

function readMinimum(settings: Settings): TlsConfig['minVersion'] {
  const name = 'REGISTRY_HTTP_TLS_MINIMUMTLS';
  const text = settings.text(name)?.toLowerCase();
  if (text === 'tls1.0' || text === 'tls1.1')
    settings.fault(`${name}: ${text} is insecure and not spoken here; set tls1.2 or tls1.3, or remove it`);
  else if (text !== undefined && text !== 'tls1.2' && text !== 'tls1.3')
    settings.fault(`${name}: ${quoted(text)} is not one of tls1.2, tls1.3`);
  return text === 'tls1.3' ? 'TLSv1.3' : 'TLSv1.2';
}

/** OpenSSL's names by those of Go, which distribution takes. */
const cipherNames: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: 'ECDHE-ECDSA-AES128-SHA256',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: 'ECDHE-RSA-AES128-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_RSA_WITH_AES_128_GCM_SHA256: 'AES128-GCM-SHA256',
  TLS_RSA_WITH_AES_256_GCM_SHA384: 'AES256-GCM-SHA384',
  TLS_RSA_WITH_AES_128_CBC_SHA256: 'AES128-SHA256',
  TLS_RSA_WITH_AES_128_CBC_SHA: 'AES128-SHA',
  TLS_RSA_WITH_AES_256_CBC_SHA: 'AES256-SHA',
};

/** Those of TLS 1.3. As in Go, they cannot be chosen, and naming them changes nothing. */
const fixedCiphers = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];

function readCiphers(settings: Settings): string | undefined {
  const name = 'REGISTRY_HTTP_TLS_CIPHERSUITES';
  const given = settings.list(name);
  if (given === undefined) return undefined;
  const unknown = given.filter((one) => !Object.hasOwn(cipherNames, one) && !fixedCiphers.includes(one));
  if (unknown.length > 0)
    settings.fault(
      `${name}: ${unknown.map(shown).join(', ')} ${unknown.length === 1 ? 'is' : 'are'} unknown or insecure and not spoken here; remove ${unknown.length === 1 ? 'it' : 'them'}`,
    );
  const chosen = given.flatMap((one) => cipherNames[one] ?? []);
  return chosen.length === 0 ? undefined : [...fixedCiphers, ...chosen].join(':');
}

function shown(name: string): string {
  return /^\w{1,64}$/.test(name) ? name : JSON.stringify(name.slice(0, 64));
}

/** distribution's names, of which two do not verify the certificate. */
const clientModes: Readonly<Record<string, TlsConfig['clientCertificates']>> = {
  'require-and-verify-client-cert': 'required',
  'verify-client-cert-if-given': 'optional',
};

function readClients(
  settings: Settings,
): Pick<TlsConfig, 'clientCertificates'> & Pick<CertificateFiles, 'clientCas'> {
  const name = 'REGISTRY_HTTP_TLS_CLIENTAUTH';
  const clientCas = (settings.list('REGISTRY_HTTP_TLS_CLIENTCAS') ?? []).map((path) => resolve(path));
  const mode = settings.text(name);
  if (mode !== undefined && clientModes[mode] === undefined)
    settings.fault(
      `${name}: ${quoted(mode)} is not one of ${Object.keys(clientModes).join(', ')}; certificates that are not verified say nothing`,
    );
  if (mode !== undefined && clientCas.length === 0)
    settings.fault(`${name}: has no effect without REGISTRY_HTTP_TLS_CLIENTCAS; set that, or remove it`);
  return {
    clientCas,
    clientCertificates: clientCas.length === 0 ? 'none' : (clientModes[mode ?? ''] ?? 'required'),
  };
}
