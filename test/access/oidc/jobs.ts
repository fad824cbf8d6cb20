import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { IssuerKeys } from '../../../lib/access/oidc/issuer-keys.ts';
import { OidcVerifier } from '../../../lib/access/oidc/verifier.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';
import type { CiIdentity } from '../../../lib/access/policy/model.ts';
import { testCertificate } from '../../servers/certificate.ts';

export const audience = 'registry.example.com';

/** Lets this process trust the issuers of tests. */
export function trustIssuers(): void {
  setDefaultCACertificates([...getCACertificates('default'), testCertificate]);
}

/** A verifier whose clock is turned by hand. */
export interface Verifying {
  readonly verifier: OidcVerifier;
  readonly warnings: string[];
  /** Moves the clock forward. */
  pass(seconds: number): void;
}

export function verifying(timeoutMs?: number): Verifying {
  let moved = 0;
  const now = () => Date.now() + moved;
  const warnings: string[] = [];
  const warn = (message: string) => {
    warnings.push(message);
  };
  const keys = new IssuerKeys({ warn, now, ...(timeoutMs !== undefined && { timeoutMs }) });
  return {
    verifier: new OidcVerifier({ keys, now }),
    warnings,
    pass: (seconds) => {
      moved += seconds * 1000;
    },
  };
}

/** Identities as a policy has them, in the order in which they are given. */
export function identities(
  issuer: string,
  claimsOf: Readonly<Record<string, Readonly<Record<string, unknown>>>> = { job: { project: 'app' } },
): readonly CiIdentity[] {
  const ci = Object.entries(claimsOf).map(([name, claims]) => [name, { issuer, audience, claims }]);
  // JSON is YAML.
  return parsePolicy(JSON.stringify({ ci: Object.fromEntries(ci) as unknown, rules: [] })).ci;
}
