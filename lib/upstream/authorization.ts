import type { IncomingHttpHeaders } from 'node:http';
import { SingleFlight } from '../concurrency/single-flight.ts';
import { bearerParameters } from '../protocol/challenges.ts';
import { trustedRealm } from './realm.ts';
import { UpstreamError } from './upstream.ts';

/** As docker stores them: a password, or a refresh token of the registry's token service. */
export type Credentials =
  { readonly user: string; readonly password: string } | { readonly identityToken: string };

/** A request to a token service. */
export interface TokenRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** Asks a token service. @returns the body of a response 200 @throws UpstreamError */
export type AskTokenService = (url: URL, request: TokenRequest) => Promise<Buffer>;

/** Seconds that a token is good for where its service does not say (Docker Registry v2 authentication). */
const defaultLifeSeconds = 60;
const maxLifeSeconds = 24 * 60 * 60;

/** Authorizations that are kept, of one scope each. Those that were not used for the longest time go first. */
const maxKept = 1000;

interface Kept {
  readonly header: string;
  readonly expires: number;
}

/** What authorizes requests to a registry, as its challenges ask for (Docker Registry v2 authentication). */
export class Authorization {
  readonly #registry: URL;
  readonly #credentials: Credentials | undefined;
  readonly #ask: AskTokenService;
  /** By scope. */
  readonly #kept = new Map<string, Kept>();
  readonly #flights = new SingleFlight<string, string>();

  constructor(registry: URL, credentials: Credentials | undefined, ask: AskTokenService) {
    this.#registry = registry;
    this.#credentials = credentials;
    this.#ask = ask;
  }

  /** The header for a scope, if a challenge has been answered for it. */
  header(scope: string): string | undefined {
    const kept = this.#kept.get(scope);
    if (kept === undefined) return undefined;
    this.#kept.delete(scope);
    if (kept.expires <= Date.now()) return undefined;
    this.#kept.set(scope, kept);
    return kept.header;
  }

  /**
   * Answers a challenge.
   * @param refused the header that was not good enough, if one was sent
   * @throws UpstreamError denied if it cannot be answered, or what the token service says
   */
  async answer(
    { 'www-authenticate': challenge = '' }: IncomingHttpHeaders,
    scope: string,
    refused: string | undefined,
  ): Promise<string> {
    // Another request may have been faster.
    const header = this.header(scope);
    if (header !== undefined && header !== refused) return header;
    return await this.#flights.run(scope, async () => await this.#answer(challenge, scope));
  }

  async #answer(challenge: string, scope: string): Promise<string> {
    const bearer = bearerParameters(challenge);
    if (bearer?.['realm'] !== undefined) {
      const realm = await trustedRealm(bearer['realm'], this.#registry);
      return await this.#token(realm, bearer['service'], bearer['scope'] ?? scope, scope);
    }
    if (!/(?:^|,\s*)basic\b/i.test(challenge))
      throw this.#denied('asks for credentials in a way that is not known');
    const header = basicOf(this.#credentials);
    if (header === undefined) throw this.#denied('asks for a user and a password, and none are known');
    this.#keep(scope, { header, expires: Infinity });
    return header;
  }

  async #token(realm: URL, service: string | undefined, asked: string, scope: string): Promise<string> {
    const common = { ...(service === undefined ? {} : { service }), scope: asked };
    const body = await this.#ask(...requestOf(realm, this.#credentials, common));
    const { token, lifeSeconds } = readToken(body, realm);
    const header = `Bearer ${token}`;
    // It is used until a tenth of its life is left, so that no request comes too late.
    this.#keep(scope, { header, expires: Date.now() + lifeSeconds * 900 });
    return header;
  }

  #keep(scope: string, kept: Kept): void {
    this.#kept.set(scope, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept) return;
      this.#kept.delete(oldest);
    }
  }

  #denied(why: string): UpstreamError {
    return new UpstreamError('denied', `${this.#registry.host} ${why}`);
  }
}

function requestOf(
  realm: URL,
  credentials: Credentials | undefined,
  parameters: Readonly<Record<string, string>>,
): [URL, TokenRequest] {
  if (credentials !== undefined && 'identityToken' in credentials) {
    const refresh = { grant_type: 'refresh_token', refresh_token: credentials.identityToken };
    const form = new URLSearchParams({ ...refresh, client_id: 'stowage', ...parameters });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return [realm, { method: 'POST', headers, body: Buffer.from(form.toString()) }];
  }
  const url = new URL(realm);
  const account = credentials === undefined ? {} : { account: credentials.user };
  for (const [name, value] of Object.entries({ ...parameters, ...account, client_id: 'stowage' }))
    url.searchParams.set(name, value);
  const authorization = basicOf(credentials);
  return [url, { method: 'GET', headers: authorization === undefined ? {} : { authorization } }];
}

function basicOf(credentials: Credentials | undefined): string | undefined {
  if (credentials === undefined || 'identityToken' in credentials) return undefined;
  const { user, password } = credentials;
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** @throws UpstreamError unavailable, without what came: it may be a secret */
function readToken(body: Buffer, { host }: URL): { readonly token: string; readonly lifeSeconds: number } {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString());
  } catch {
    // Said below.
  }
  const fields = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  const token = fields['token'] ?? fields['access_token'];
  // Anything else cannot be sent in a header.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new UpstreamError('unavailable', `the token service at ${host} answered without a token`);
  const life = fields['expires_in'];
  const isKnown = typeof life === 'number' && life > 0;
  return { token, lifeSeconds: isKnown ? Math.min(life, maxLifeSeconds) : defaultLifeSeconds };
}
