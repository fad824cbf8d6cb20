import { createLocalJWKSet, decodeJwt, errors, jwtVerify, type JWTPayload } from 'jose';
import { RegistryError } from '../../protocol/errors.ts';
import { AccessUnavailable } from '../unavailable.ts';
import type { CiIdentity } from '../policy/model.ts';
import type { IssuerKeys } from './issuer-keys.ts';

/** Characters of a token. */
const maxTokenLength = 16 * 1024;

/** Seconds that an issuer's clock may be ahead. */
const leeway = 60;

const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

export interface OidcVerifierOptions {
  readonly keys: Pick<IssuerKeys, 'of' | 'retain'>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Verifies the OIDC tokens of CI jobs (OpenID Connect Core 1.0, section 3.1.3.7). */
export class OidcVerifier {
  readonly #options: OidcVerifierOptions;

  constructor(options: OidcVerifierOptions) {
    this.#options = options;
  }

  /**
   * Checks signature, issuer, audience and times of a token against the issuers that identities of the policy name.
   * @returns its claims
   * @throws RegistryError UNAUTHORIZED; UNAVAILABLE where the issuer's keys cannot be read
   */
  async verify(token: string, identities: readonly CiIdentity[]): Promise<JWTPayload> {
    const issuer = issuerOf(token);
    if (issuer === undefined)
      throw new RegistryError(
        'UNAUTHORIZED',
        'the password of the user oidc must be the OIDC token of a job',
      );
    const ofIssuer = identities.filter((one) => one.issuer === issuer);
    if (ofIssuer.length === 0)
      throw new RegistryError('UNAUTHORIZED', 'the policy names no identity for the issuer of this token');
    this.#options.keys.retain(new Set(identities.map((one) => one.issuer)));
    const audiences = [...new Set(ofIssuer.map(({ audience }) => audience))];
    try {
      return await this.#verify(token, issuer, audiences);
    } catch (error) {
      if (error instanceof RegistryError) throw error;
      // What is no JOSEError is of a key that cannot be used: too short, or malformed.
      throw new RegistryError('UNAUTHORIZED', reasonOf(error), [], { cause: error });
    }
  }

  async #verify(token: string, issuer: string, audience: string[]): Promise<JWTPayload> {
    try {
      return await this.#verifyWith(await this.#keys(issuer, false), token, issuer, audience);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      // The issuer may have a new key.
      return await this.#verifyWith(await this.#keys(issuer, true), token, issuer, audience);
    }
  }

  async #keys(issuer: string, missing: boolean): ReturnType<IssuerKeys['of']> {
    try {
      return await this.#options.keys.of(issuer, { missing });
    } catch (error) {
      throw new AccessUnavailable(`the keys of ${issuer} cannot be read; try again`, error);
    }
  }

  async #verifyWith(
    keys: Awaited<ReturnType<IssuerKeys['of']>>,
    token: string,
    issuer: string,
    audience: string[],
  ): Promise<JWTPayload> {
    const now = this.#options.now?.() ?? Date.now();
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys), {
      issuer,
      audience,
      algorithms,
      clockTolerance: leeway,
      requiredClaims: ['exp', 'iat'],
      currentDate: new Date(now),
    });
    // The leeway is for clocks that are ahead; an expired token is never accepted.
    if ((payload.exp ?? 0) * 1000 <= now) throw new errors.JWTExpired('expired', payload);
    return payload;
  }
}

function issuerOf(token: string): string | undefined {
  if (token.length > maxTokenLength) return undefined;
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** For clients: what they can mend, and nothing about keys. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'the token of this job has expired; get another one';
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.claim === 'aud'
      ? 'the token of this job is for another audience; ask for the one that the policy names'
      : `the token of this job has a wrong ${error.claim}`;
  if (error instanceof errors.JWKSNoMatchingKey)
    return 'the token of this job is signed with a key that its issuer does not publish; if the key is new, try again in 30 s';
  return 'the token of this job is not valid';
}
