import { jwtVerify, type JWTPayload } from 'jose';
import type { AccessControl, Caller, ChallengeError, Credentials, Decision, Needed } from '../access.ts';
import { unauthenticated } from '../callers.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { bearerChallenge, bearerToken } from './challenge.ts';
import { covers, readAccess, type ResourceAccess } from './scopes.ts';
import { readTrustedKeys, type KeyFiles, type TrustedKey } from './trusted-keys.ts';
import { VerifiedTokens, type Verified } from './verified-tokens.ts';

export interface ExternalTokenOptions extends KeyFiles {
  /** Absolute URL of the token server; ignored with `autoRedirect`. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Undefined for all asymmetric ones. */
  readonly algorithms: readonly string[] | undefined;
  /** Whether the realm is at the host that the client uses, below `autoRedirectPath`. */
  readonly autoRedirect: boolean;
  readonly autoRedirectPath: string;
}

/** Seconds that clocks may differ, as in distribution. */
const leeway = 60;

const asymmetric = [
  ...['EdDSA', 'Ed25519', 'ES256', 'ES384', 'ES512'],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
];

/**
 * `REGISTRY_AUTH=token`: JWTs of an external token server (Docker Registry v2 authentication). A token must be signed with a
 * key that is configured; keys within its header (`jwk`, `x5c`, `jku`, `x5u`) are ignored (CVE-2025-24976).
 */
export class ExternalTokens implements AccessControl {
  readonly #options: ExternalTokenOptions;
  readonly #keys: readonly TrustedKey[];
  readonly #verified = new VerifiedTokens<Claims>();

  private constructor(options: ExternalTokenOptions, keys: readonly TrustedKey[]) {
    this.#options = options;
    this.#keys = keys;
  }

  /** Reads the keys. @throws Error that names the setting and what is wrong with its file */
  static async open(options: ExternalTokenOptions): Promise<ExternalTokens> {
    return new ExternalTokens(options, await readTrustedKeys(options, options.algorithms ?? asymmetric));
  }

  async authenticate({ authorization }: Credentials): Promise<Caller> {
    if (authorization === undefined) return unauthenticated;
    const token = bearerToken(authorization);
    if (token === undefined) throw new RegistryError('UNAUTHORIZED');
    return callerOf(await this.#verified.read(token, async () => await this.#verify(token)));
  }

  challenge({ origin }: Credentials, needed: readonly Needed[], error: ChallengeError | undefined): string {
    const { realm, service, autoRedirect, autoRedirectPath } = this.#options;
    return bearerChallenge(autoRedirect ? `${origin}${autoRedirectPath}` : realm, service, needed, error);
  }

  /** @throws RegistryError UNAUTHORIZED for a token that is not valid */
  async #verify(token: string): Promise<Verified<Claims>> {
    const payload = await this.#payloadOf(token);
    const access = payload === undefined ? undefined : readAccess(payload['access']);
    if (payload === undefined || access === undefined) throw new RegistryError('UNAUTHORIZED');
    return { value: { subject: payload.sub, access }, until: (payload.exp ?? 0) + leeway };
  }

  /** The claims of a valid token, undefined for any other. */
  async #payloadOf(token: string): Promise<JWTPayload | undefined> {
    const { issuer, service, algorithms = asymmetric } = this.#options;
    const options = {
      issuer,
      audience: service,
      algorithms: [...algorithms],
      clockTolerance: leeway,
      requiredClaims: ['exp'],
    };
    for (const { key } of this.#candidates(token))
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch {
        // Signed with another key, or not valid at all.
      }
    return undefined;
  }

  /** The key that the token names, or all: servers name keys in several ways (distribution#4470, #4533). */
  #candidates(token: string): readonly TrustedKey[] {
    const id = keyIdOf(token);
    const named = this.#keys.filter((key) => id !== undefined && key.id === id);
    return named.length > 0 ? named : this.#keys;
  }
}

function keyIdOf(token: string): string | undefined {
  try {
    const header: unknown = JSON.parse(
      Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString('utf8'),
    );
    const id = (header as { kid?: unknown } | null)?.kid;
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}

const authenticate: Decision = { outcome: 'authenticate' };
const allow: Decision = { outcome: 'allow' };

interface Claims {
  /** Signed, and yet of any type: nothing in a JWT demands a text. */
  readonly subject: unknown;
  readonly access: readonly ResourceAccess[];
}

/** What the token does not cover, another one may. */
function callerOf({ subject, access }: Claims): Caller {
  const decide = (type: string, name: string, action: string) =>
    covers(access, type, name, action) ? allow : authenticate;
  return {
    actor: typeof subject === 'string' && subject !== '' ? subject : undefined,
    decideLogin: () => allow,
    decide: (action, repository) => decide('repository', repository, action),
    decideCatalog: () => decide('registry', 'catalog', '*'),
    // Whoever may list the catalog sees all of it, as in distribution.
    shows: undefined,
    immutableTags: () => undefined,
  };
}
