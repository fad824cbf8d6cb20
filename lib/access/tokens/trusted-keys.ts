import { createPublicKey, createSecretKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/*
 * The keys of an external token server, from the files that the settings name.
 */

export interface TrustedKey {
  /** Undefined where nothing names it. */
  readonly id: string | undefined;
  readonly key: KeyObject;
}

export interface KeyFiles {
  /** Path of a JSON Web Key Set. */
  readonly jwks: string | undefined;
  /** Path of a PEM file with certificates. */
  readonly rootCertBundle: string | undefined;
}

/** More would make each forged token too costly: all are tried where none is named. */
const maxKeys = 50;

/**
 * @param algorithms of signatures that are accepted
 * @throws Error that names the setting and what is wrong with its file
 */
export async function readTrustedKeys(
  { jwks, rootCertBundle }: KeyFiles,
  algorithms: readonly string[],
): Promise<readonly TrustedKey[]> {
  return [
    ...(await readKeys('REGISTRY_AUTH_TOKEN_JWKS', jwks, keysOfSet, algorithms)),
    ...(await readKeys('REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE', rootCertBundle, keysOfCertificates, algorithms)),
  ];
}

async function readKeys(
  setting: string,
  path: string | undefined,
  parse: (text: string) => readonly TrustedKey[],
  algorithms: readonly string[],
): Promise<readonly TrustedKey[]> {
  if (path === undefined) return [];
  try {
    const keys = parse(await readFile(path, 'utf8')).filter(({ key }) =>
      algorithms.some((algorithm) => fits(key, algorithm)),
    );
    if (keys.length === 0) throw new Error(`it has no key for signatures by ${algorithms.join(', ')}`);
    if (keys.length > maxKeys) throw new Error(`it has ${keys.length} keys; ${maxKeys} are the most`);
    return keys;
  } catch (error) {
    throw new Error(`${setting}: ${path} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

type Jwk = Readonly<Record<string, unknown>>;

/** RFC 7517, section 5: keys of unknown types are left out, and here those for encryption as well. */
function keysOfSet(text: string): readonly TrustedKey[] {
  return keysIn(parseJson(text))
    .filter(({ kty, use }) => ['RSA', 'EC', 'OKP', 'oct'].includes(String(kty)) && use !== 'enc')
    .map((jwk) => ({ id: typeof jwk['kid'] === 'string' ? jwk['kid'] : undefined, key: keyOf(jwk) }));
}

/** The message of a parser would have a part of the file in it, and with that perhaps of a secret. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is no JSON');
  }
}

function keysIn(set: unknown): readonly Jwk[] {
  const keys = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined;
  if (!Array.isArray(keys) || !keys.every((one) => typeof one === 'object' && one !== null))
    throw new Error('it is no JSON Web Key Set');
  return keys as Jwk[];
}

/** Bytes of the shortest secret that HS256 allows (RFC 7518, section 3.2). */
const minSecretSize = 32;

function keyOf(jwk: Jwk): KeyObject {
  if (jwk['kty'] !== 'oct') return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  const secret = Buffer.from(typeof jwk['k'] === 'string' ? jwk['k'] : '', 'base64url');
  if (secret.byteLength < minSecretSize)
    throw new Error(`it has a secret key of ${secret.byteLength} bytes; ${minSecretSize} are the least`);
  return createSecretKey(secret);
}

function keysOfCertificates(text: string): readonly TrustedKey[] {
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return certificates.map((pem) => ({ id: undefined, key: new X509Certificate(pem).publicKey }));
}

/** The first letters of the algorithms that a key can be for, by its type. */
const families: Readonly<Record<string, readonly string[]>> = {
  rsa: ['RS', 'PS'],
  'rsa-pss': ['PS'],
  ec: ['ES'],
  ed25519: ['Ed'],
};

function fits({ type, asymmetricKeyType }: KeyObject, algorithm: string): boolean {
  const family = type === 'secret' ? ['HS'] : (families[asymmetricKeyType ?? ''] ?? []);
  return family.includes(algorithm.slice(0, 2));
}
