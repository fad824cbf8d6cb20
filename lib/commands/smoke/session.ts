import { bearerParameters } from '../../protocol/challenges.ts';
import { objectOf } from '../login/request.ts';
import { fail, shown, SmokeFailure } from './failure.ts';
import { Destinations, isSafeUrl } from './destinations.ts';
import { send, sendFollowing } from './http.ts';
import type { Ask, Reply } from './messages.ts';

/** As a user of a registry has them. */
export type Credentials =
  { readonly user: string; readonly password: string } | { readonly identityToken: string };

/** What a 401 response asks for. */
export interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  /** Of a token service. */
  readonly realm?: URL;
  readonly service?: string;
}

/** Milliseconds to remove what was pushed after a signal. */
const removalMs = 10_000;

/** Sends requests to a registry with what its challenge asks for. */
export class Session {
  readonly base: URL;
  readonly credentials: Credentials | undefined;
  /** Undefined as long as none is known, and for an open registry. */
  challenge: Challenge | undefined;
  readonly #tokens = new Map<string, string>();
  readonly #destinations: Destinations;
  #stop = new AbortController();
  #isStopped = false;

  constructor(base: URL, credentials: Credentials | undefined) {
    this.base = base;
    this.credentials = credentials;
    this.#destinations = new Destinations(base);
  }

  /** Sends a request as it is, to wherever the registry has pointed. @throws SmokeFailure */
  async send(ask: Ask): Promise<Reply> {
    return await send(ask, this.#destinations, this.#stop.signal);
  }

  /** The same, and follows redirects. @throws SmokeFailure */
  async sendFollowing(ask: Ask, onRedirect: (target: URL) => void): Promise<Reply> {
    return await sendFollowing(ask, async (one) => await this.send(one), onRedirect);
  }

  /** Ends what is being asked. What follows, to remove what was pushed, has 10 s in all. */
  stop(): void {
    const running = this.#stop;
    const last = new AbortController();
    this.#stop = last;
    this.#isStopped = true;
    setTimeout(() => {
      last.abort();
    }, removalMs).unref();
    running.abort();
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  url(path: string): URL {
    return new URL(path, this.base);
  }

  /**
   * The header that authorizes a scope, as docker asks for it (Docker Registry v2 authentication, "Token Authentication
   * Specification").
   * @param scope such as `repository:team/app:pull,push`; empty for a login
   * @throws SmokeFailure
   */
  async authorization(scope: string): Promise<Record<string, string>> {
    if (this.challenge === undefined) return {};
    if (this.challenge.scheme === 'basic') return basic(this.credentials);
    let token = this.#tokens.get(scope);
    if (token === undefined) {
      token = await this.#askToken(this.challenge, scope);
      this.#tokens.set(scope, token);
    }
    return { authorization: `Bearer ${token}` };
  }

  /** Sends a request to the registry itself. @param path below its URL */
  async ask(scope: string, path: string, ask: Omit<Ask, 'url'>): Promise<Reply> {
    const headers = { ...ask.headers, ...(await this.authorization(scope)) };
    return await this.send({ ...ask, url: this.url(path), headers });
  }

  /** Gives the password to the realm, whatever its host, as docker does. */
  async #askToken({ realm, service = '' }: Challenge, scope: string): Promise<string> {
    if (realm === undefined) throw new Error('a challenge without a realm');
    const { credentials } = this;
    const common = { service, ...(scope === '' ? {} : { scope }) };
    const reply = await this.send(
      credentials !== undefined && 'identityToken' in credentials
        ? refreshing(realm, credentials.identityToken, common)
        : asking(realm, credentials, common),
    );
    return tokenOf(reply);
  }
}

/** @param base URL of the registry @throws SmokeFailure where no client can follow it */
export function readChallenge(reply: Reply, base: URL): Challenge {
  const text = reply.headers['www-authenticate'];
  if (text === undefined) missing(reply);
  if (/(^|,\s*)basic\b/i.test(text)) return { scheme: 'basic' };
  const parameters = bearerParameters(text);
  if (parameters === undefined)
    fail(
      reply,
      `WWW-Authenticate: ${text}`,
      'Clients know Basic and Bearer; REGISTRY_AUTH says which the registry asks for',
    );
  const { realm, service } = parameters;
  const url = realm === undefined ? null : URL.parse(realm);
  if (url === null)
    fail(
      reply,
      `a challenge whose realm is no URL: ${text}`,
      'Set REGISTRY_HTTP_HOST to the https URL of the registry',
    );
  if (!isSafeUrl(url, base))
    fail(
      reply,
      `a token service that is not on https: ${url.origin}`,
      'Set REGISTRY_HTTP_HOST to the https URL of the registry, or let the proxy that ends TLS send X-Forwarded-Proto',
    );
  return { scheme: 'bearer', realm: url, ...(service === undefined ? {} : { service }) };
}

function missing(reply: Reply): never {
  const renamed = Object.keys(reply.headers).find((name) => name.endsWith('remapped-www-authenticate'));
  fail(
    reply,
    renamed === undefined ? '401 without WWW-Authenticate' : `401 whose WWW-Authenticate is named ${renamed}`,
    renamed === undefined
      ? 'A proxy removes the header, or another program answers: let WWW-Authenticate pass'
      : 'The gateway renames the header, and docker login fails without it. Restore it in front of the gateway: docs/functions.md#headers-that-a-gateway-may-change says how',
  );
}

function basic(credentials: Credentials | undefined): Record<string, string> {
  if (credentials === undefined || 'identityToken' in credentials) return {};
  const { user, password } = credentials;
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

function tokenOf(reply: Reply): string {
  if (reply.status !== 200)
    fail(
      reply,
      shown(reply),
      reply.status === 401
        ? 'Check the user and the password; the header Authorization must reach the token service'
        : 'The token service must answer 200: its log says why it does not',
    );
  const { token, access_token: other = token } = objectOf(reply.body.toString());
  if (typeof other !== 'string')
    throw new SmokeFailure({
      asked: reply.asked,
      came: 'a response without a token',
      change: 'The path of the realm must lead to the token service',
    });
  return other;
}

type Parameters = Readonly<Record<string, string>>;

function asking(
  realm: URL,
  credentials: { user: string; password: string } | undefined,
  parameters: Parameters,
): Ask {
  const url = new URL(realm);
  const account = credentials === undefined ? {} : { account: credentials.user };
  for (const [name, value] of Object.entries({ ...parameters, ...account, client_id: 'stowage' }))
    url.searchParams.set(name, value);
  return { method: 'GET', url, headers: basic(credentials) };
}

function refreshing(realm: URL, identityToken: string, parameters: Parameters): Ask {
  const form = {
    grant_type: 'refresh_token',
    refresh_token: identityToken,
    client_id: 'stowage',
    ...parameters,
  };
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(new URLSearchParams(form).toString()),
  };
}
