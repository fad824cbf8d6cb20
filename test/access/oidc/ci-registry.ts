import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testCertificate } from '../../servers/certificate.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { startIssuer, type Issuer } from '../../servers/issuer.ts';
import { startProxy } from '../../servers/proxy.ts';
import type { Registry } from '../../servers/registry.ts';
import { serve } from '../../servers/stowage.ts';
import { policySettings } from '../policy-registry.ts';

/** The name of the registry in tokens. */
export const service = 'registry.example.com';

/** How a client has asked the token service. */
export type TokenRequest =
  | 'anonymous'
  /** `GET` with Basic. */
  | 'the job token, by GET'
  | 'our token as password, by GET'
  /** `POST` with a form. */
  | 'the job token, by POST'
  | 'our token as password, by POST'
  | 'our token as refresh token, by POST';

/** A registry whose jobs push to `team/**`, with the issuer of their tokens and a clock that is turned by hand. */
export interface CiRegistry extends Registry {
  readonly issuer: Issuer;
  /** A file with the certificate of the issuer. */
  readonly certificate: string;
  /** A token as CI systems make them: it ends after ten minutes. */
  jobToken(): Promise<string>;
  /** How the token service was asked since the last look. */
  requests(): readonly TokenRequest[];
  /** Sets the clock of the registry this many minutes ahead of the real one. */
  moveClock(minutes: number): void;
  readonly output: () => string;
}

/** Minutes that a job may push for: those of `lifetime` below. */
export const lifetime = 120;

const policyFor = (issuer: string) => `
ci:
  release:
    issuer: ${issuer}
    audience: ${service}
    claims: { repository_id: '123456', ref: refs/heads/main }
    lifetime: 2h
rules:
  - { who: 'ci:release', repositories: team/**, allow: [pull, push] }
`;

export async function startCiRegistry(): Promise<CiRegistry> {
  const folder = await temporaryFolder('ci');
  const [clock, certificate] = [join(folder.path, 'clock'), join(folder.path, 'issuer.pem')];
  writeFileSync(clock, '0');
  writeFileSync(certificate, testCertificate);
  const issuer = await startIssuer();
  const policy = await policySettings(policyFor(issuer.url), []);
  const seen: TokenRequest[] = [];
  let upstream = '';
  const proxy = await startProxy((request) => {
    note(request, seen);
    return upstream;
  });
  const preload = fileURLToPath(new URL('../../servers/moved-clock.ts', import.meta.url));
  const registry = await serve(join(folder.path, 'registry'), {
    ...policy.settings,
    REGISTRY_AUTH_POLICY_SERVICE: service,
    REGISTRY_HTTP_HOST: `http://${proxy.address}`,
    NODE_EXTRA_CA_CERTS: certificate,
    NODE_OPTIONS: `--import=${preload}`,
    STOWAGE_TEST_CLOCK: clock,
  });
  upstream = registry.address;
  return {
    address: proxy.address,
    issuer,
    certificate,
    jobToken: async () =>
      await issuer.token({
        aud: service,
        repository_id: '123456',
        ref: 'refs/heads/main',
        sub: 'repo:acme@1001/app@123456:ref:refs/heads/main',
      }),
    requests: () => seen.splice(0),
    moveClock: (minutes) => {
      writeFileSync(clock, String(minutes * 60));
    },
    output: () => registry.output(),
    stop: async () => {
      await registry.stop();
      await proxy.stop();
      await issuer.stop();
      policy.remove();
      folder.remove();
    },
  };
}

/** Notes how the token service is asked. */
function note(request: IncomingMessage, seen: TokenRequest[]): void {
  if (!request.url?.startsWith('/token')) return;
  if (request.method === 'GET') {
    const [, encoded] = /^basic (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (encoded === undefined) seen.push('anonymous');
    else
      seen.push(
        `${kindOf(
          Buffer.from(encoded, 'base64')
            .toString()
            .replace(/^[^:]*:/, ''),
        )}, by GET`,
      );
    return;
  }
  let text = '';
  request.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  request.once('end', () => {
    const form = new URLSearchParams(text);
    if (form.get('grant_type') === 'refresh_token') seen.push('our token as refresh token, by POST');
    else seen.push(`${kindOf(form.get('password') ?? '')}, by POST`);
  });
}

function kindOf(password: string): 'the job token' | 'our token as password' {
  return password.startsWith('stowage_refresh_') ? 'our token as password' : 'the job token';
}
