import { resolve } from 'node:path';
import { readPath } from './files.ts';
import { readHtpasswd, readRealm, type HtpasswdSource } from './htpasswd.ts';
import { readPolicyLocation, type PolicyLocation } from './policy-location.ts';
import { refusalOf, type Settings } from './settings.ts';

/** How callers are authenticated and authorized. */
export type AuthConfig = OpenConfig | HtpasswdAuthConfig | TokenAuthConfig | PolicyAuthConfig;

/** Open: everybody may do everything. */
export interface OpenConfig {
  readonly kind: 'none';
}

export interface HtpasswdAuthConfig {
  readonly kind: 'htpasswd';
  readonly realm: string;
  readonly source: HtpasswdSource;
}

/** Tokens of an external server. The settings have the names of distribution. */
export interface TokenAuthConfig {
  readonly kind: 'token';
  /** Absolute URL of the token server, for challenges. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Path of a PEM file with certificates. */
  readonly rootCertBundle: string | undefined;
  /** Path of a JSON Web Key Set. */
  readonly jwks: string | undefined;
  /** Undefined for all asymmetric algorithms. */
  readonly algorithms: readonly string[] | undefined;
  /** Whether the realm is the host of the request, with {@link autoRedirectPath}. */
  readonly autoRedirect: boolean;
  readonly autoRedirectPath: string;
}

export interface PolicyAuthConfig {
  readonly kind: 'policy';
  readonly policy: PolicyLocation;
  /** The audience of tokens; undefined for the registry's host. */
  readonly service: string | undefined;
  /** Undefined if there are no users with passwords. */
  readonly htpasswd: HtpasswdSource | undefined;
  /** The first one signs; all are accepted. Empty in functions other than `token`. */
  readonly secrets: readonly string[];
  /** Public keys of access tokens, for functions without the secret. */
  readonly publicKeys: readonly string[];
}

/** The issuer and audience of this registry's tokens. It is the same in all functions. */
export function tokenService(
  { service }: Pick<PolicyAuthConfig, 'service'>,
  host: string | undefined,
): string {
  return service ?? (host === undefined ? 'stowage' : new URL(host).host);
}

/** Minimum length of a secret that signs tokens, in characters. */
export const minSecretLength = 32;

const kinds = ['none', 'htpasswd', 'token', 'policy'] as const;

const prefixes = {
  htpasswd: 'REGISTRY_AUTH_HTPASSWD_',
  token: 'REGISTRY_AUTH_TOKEN_',
  policy: 'REGISTRY_AUTH_POLICY_',
} as const;

/** Facts about the program that the settings depend on. */
export interface AuthContext {
  /** Whether the registry listens on loopback only, so that it may be open by default. */
  readonly isLocal: boolean;
  /** The command line that starts an open registry. */
  readonly openCommand: string;
  /** The default of REGISTRY_AUTH_POLICY_SECRET. Undefined in functions. */
  readonly httpSecrets: readonly string[] | undefined;
}

/** Reads `REGISTRY_AUTH` and its settings. */
export function readAuth(settings: Settings, context: AuthContext): AuthConfig {
  const isNamed = settings.text('REGISTRY_AUTH') !== undefined;
  const kind = readKind(settings);
  for (const [other, prefix] of Object.entries(prefixes)) {
    const isUsed = other === kind || (other === 'htpasswd' && kind === 'policy');
    if (settings.hasAny(prefix) && !isUsed && (kind !== undefined || !isNamed))
      settings.fault(`${prefix}…: has no effect without REGISTRY_AUTH=${other}; set that, or remove it`);
  }
  switch (kind) {
    case 'htpasswd':
      return readHtpasswdAuth(settings);
    case 'token':
      return readToken(settings);
    case 'policy':
      return readPolicy(settings, context);
    case 'none':
      return { kind: 'none' };
    case undefined:
      if (!isNamed && !context.isLocal) settings.fault(missingFault(context));
      markKnown(settings);
      return { kind: 'none' };
  }
}

function readKind(settings: Settings): (typeof kinds)[number] | undefined {
  const refusal = refusalOf(`REGISTRY_AUTH_${settings.text('REGISTRY_AUTH')?.toUpperCase() ?? ''}`);
  if (refusal === undefined) return settings.optionalChoice('REGISTRY_AUTH', kinds);
  settings.fault(`REGISTRY_AUTH: ${refusal}`);
  return undefined;
}

function missingFault({ openCommand }: AuthContext): string {
  return (
    'REGISTRY_AUTH: missing, and other machines can reach this address, so that anybody could push and delete; ' +
    `docs/access.md sets up users and permissions. To run an open registry: ${openCommand}`
  );
}

/** Prevents further faults that these settings are unknown. */
function markKnown(settings: Settings): void {
  for (const name of names) settings.text(name);
}

const names = [
  'REGISTRY_AUTH_HTPASSWD_REALM',
  'REGISTRY_AUTH_HTPASSWD_PATH',
  'REGISTRY_AUTH_HTPASSWD_CONTENT',
  'REGISTRY_AUTH_TOKEN_REALM',
  'REGISTRY_AUTH_TOKEN_SERVICE',
  'REGISTRY_AUTH_TOKEN_ISSUER',
  'REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE',
  'REGISTRY_AUTH_TOKEN_JWKS',
  'REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS',
  'REGISTRY_AUTH_TOKEN_AUTOREDIRECT',
  'REGISTRY_AUTH_TOKEN_AUTOREDIRECTPATH',
  'REGISTRY_AUTH_POLICY_PATH',
  'REGISTRY_AUTH_POLICY_OBJECT',
  'REGISTRY_AUTH_POLICY_SERVICE',
  'REGISTRY_AUTH_POLICY_SECRET',
  'REGISTRY_AUTH_POLICY_SECRET_PREVIOUS',
  'REGISTRY_AUTH_POLICY_PUBLICKEYS',
];

function readHtpasswdAuth(settings: Settings): AuthConfig {
  const realm = readRealm(settings);
  const source = readHtpasswd(settings);
  if (source === undefined) {
    settings.fault(
      'REGISTRY_AUTH_HTPASSWD_PATH: missing; name a file made by htpasswd -B, or by stowage htpasswd, or put its content into REGISTRY_AUTH_HTPASSWD_CONTENT',
    );
    return { kind: 'none' };
  }
  return { kind: 'htpasswd', realm, source };
}

function readToken(settings: Settings): AuthConfig {
  const required = (name: string, what: string) => {
    const value = settings.text(name);
    if (value === undefined) settings.fault(`${name}: missing; REGISTRY_AUTH=token needs ${what}`);
    return value ?? '';
  };
  const autoRedirect = settings.flag('REGISTRY_AUTH_TOKEN_AUTOREDIRECT', false);
  const realm = autoRedirect
    ? (settings.text('REGISTRY_AUTH_TOKEN_REALM') ?? '')
    : required('REGISTRY_AUTH_TOKEN_REALM', 'the URL of the token server');
  if (realm !== '' && !isHttpUrl(realm))
    settings.fault(`REGISTRY_AUTH_TOKEN_REALM: must be the http:// or https:// URL of the token server`);
  const [rootCertBundle, jwks] = [
    readPath(
      settings,
      'REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE',
      'set REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE to a file with the certificates of the token server',
    ),
    readPath(
      settings,
      'REGISTRY_AUTH_TOKEN_JWKS',
      'set REGISTRY_AUTH_TOKEN_JWKS to a file with the keys of the token server',
    ),
  ];
  if (rootCertBundle === undefined && jwks === undefined)
    settings.fault(
      `REGISTRY_AUTH_TOKEN_JWKS: missing; name a file with the keys of the token server, or its certificates in REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE`,
    );
  return {
    kind: 'token',
    realm,
    service: required(
      'REGISTRY_AUTH_TOKEN_SERVICE',
      'the name of this registry, which is the audience of tokens',
    ),
    issuer: required('REGISTRY_AUTH_TOKEN_ISSUER', 'the issuer of tokens'),
    rootCertBundle,
    jwks,
    algorithms: readAlgorithms(settings),
    autoRedirect,
    autoRedirectPath: settings.text('REGISTRY_AUTH_TOKEN_AUTOREDIRECTPATH') ?? '/auth/token',
  };
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && !/["\\\s]/.test(text);
}

/** Algorithms of JSON Web Signatures (RFC 7518, section 3.1). */
const knownAlgorithms = [
  ...['EdDSA', 'ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['HS256', 'HS384', 'HS512'],
];

function readAlgorithms(settings: Settings): readonly string[] | undefined {
  const name = 'REGISTRY_AUTH_TOKEN_SIGNINGALGORITHMS';
  const text = settings.text(name);
  if (text === undefined) return undefined;
  // As a YAML list, or separated by commas.
  const given = text
    .replace(/^\[|\]$/g, '')
    .split(/[\s,]+/)
    .map((name) => name.replace(/^["']|["']$/g, ''))
    .filter((item) => item !== '');
  const unknown = given.filter((algorithm) => !knownAlgorithms.includes(algorithm));
  if (unknown.length > 0 || given.length === 0)
    settings.fault(`${name}: must be a list of some of ${knownAlgorithms.join(', ')}`);
  return given;
}

function readPolicy(settings: Settings, { httpSecrets }: AuthContext): AuthConfig {
  const policy = readPolicyLocation(
    settings,
    'REGISTRY_AUTH_POLICY',
    'set REGISTRY_AUTH_POLICY_PATH to the file with the policy; docs/access.md has one to start from',
  );
  if (policy === undefined)
    settings.fault(
      "REGISTRY_AUTH_POLICY_PATH: missing; name the policy's file, or its key in the bucket in REGISTRY_AUTH_POLICY_OBJECT",
    );
  readRealm(settings);
  return {
    kind: 'policy',
    policy: policy ?? { kind: 'file', path: resolve('policy.yaml') },
    service: readService(settings),
    htpasswd: readHtpasswd(settings),
    ...readKeys(settings, httpSecrets),
  };
}

function readService(settings: Settings): string | undefined {
  const name = 'REGISTRY_AUTH_POLICY_SERVICE';
  const service = settings.text(name);
  if (service !== undefined && !/^[\w.:-]{1,255}$/.test(service))
    settings.fault(`${name}: must be a name such as registry.example.com`);
  return service;
}

function readKeys(
  settings: Settings,
  httpSecrets: readonly string[] | undefined,
): Pick<PolicyAuthConfig, 'secrets' | 'publicKeys'> {
  const secret = settings.text('REGISTRY_AUTH_POLICY_SECRET');
  const previous = settings.text('REGISTRY_AUTH_POLICY_SECRET_PREVIOUS');
  const publicKeys = readPublicKeys(settings);
  assertLength(settings, 'REGISTRY_AUTH_POLICY_SECRET', secret);
  if (secret !== undefined && secret === settings.text('REGISTRY_HTTP_SECRET'))
    settings.fault(
      'REGISTRY_AUTH_POLICY_SECRET: must not be the REGISTRY_HTTP_SECRET, which processes have that may not sign tokens; take another from: openssl rand -hex 32',
    );
  assertLength(settings, 'REGISTRY_AUTH_POLICY_SECRET_PREVIOUS', previous);
  if (secret !== undefined)
    return { secrets: previous === undefined ? [secret] : [secret, previous], publicKeys };
  if (previous !== undefined)
    settings.fault(
      'REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: means nothing without REGISTRY_AUTH_POLICY_SECRET; set that, or remove it',
    );
  if (publicKeys.length > 0) return { secrets: [], publicKeys };
  if (httpSecrets === undefined)
    settings.fault(
      'REGISTRY_AUTH_POLICY_SECRET: missing; the function token signs with it (openssl rand -hex 32), and the others need REGISTRY_AUTH_POLICY_PUBLICKEYS, which stowage token keys prints',
    );
  for (const httpSecret of httpSecrets ?? []) assertLength(settings, 'REGISTRY_HTTP_SECRET', httpSecret);
  return { secrets: httpSecrets ?? [], publicKeys };
}

function readPublicKeys(settings: Settings): readonly string[] {
  const text = settings.text('REGISTRY_AUTH_POLICY_PUBLICKEYS') ?? '';
  const keys = text.split(/[\s,]+/).filter((key) => key !== '');
  if (keys.some((key) => !/^[\w-]{43}$/.test(key)))
    settings.fault('REGISTRY_AUTH_POLICY_PUBLICKEYS: must be what stowage token keys prints');
  return keys;
}

function assertLength(settings: Settings, name: string, secret: string | undefined): void {
  if (secret !== undefined && secret.length < minSecretLength)
    settings.fault(
      `${name}: signs tokens, so it must have ${minSecretLength} characters at least, such as from: openssl rand -hex 32`,
    );
}
