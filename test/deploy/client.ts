import assert from 'node:assert/strict';
import { Client, send, type Ask, type Reply } from '../functions/client.ts';

/** A user of a registry. */
export interface User {
  readonly name: string;
  readonly password: string;
}

/** A client that answers challenges as docker does, with a token or with the password itself. */
export class UserClient extends Client {
  readonly #user: User;
  /** By their scopes. */
  readonly #tokens = new Map<string, Promise<string>>();

  constructor(base: string, user: User) {
    super(base);
    this.#user = user;
  }

  override async send(ask: Ask): Promise<Reply> {
    const reply = await send(this.base, ask);
    const challenge = reply.headers['www-authenticate'];
    if (reply.status !== 401 || challenge === undefined) return reply;
    const authorization = await this.#answer(challenge, mountedFrom(ask));
    return await send(this.base, { ...ask, headers: { ...ask.headers, authorization } });
  }

  /** A new token. @param scopes such as `repository:team/app:pull` */
  async #newToken(realm: string, service: string, scopes: readonly string[]): Promise<string> {
    const query = new URLSearchParams({ service });
    for (const scope of scopes) query.append('scope', scope);
    const { status, body } = await send(this.base, {
      method: 'GET',
      path: `${realm}?${query.toString()}`,
      headers: { authorization: this.#basic() },
    });
    assert.equal(status, 200, `no token: ${body.toString()}`);
    return (JSON.parse(body.toString()) as { token: string }).token;
  }

  /** @param more scopes than those of the challenge */
  async #answer(challenge: string, more: readonly string[]): Promise<string> {
    if (/^basic /i.test(challenge)) return this.#basic();
    const parameter = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1] ?? '';
    const scopes = [parameter('scope'), ...more].filter((scope) => scope !== '');
    const key = scopes.join(' ');
    const token = this.#tokens.get(key) ?? this.#newToken(parameter('realm'), parameter('service'), scopes);
    this.#tokens.set(key, token);
    token.catch(() => this.#tokens.delete(key));
    return `Bearer ${await token}`;
  }

  #basic(): string {
    const { name, password } = this.#user;
    return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  }
}

/** Clients ask at once for the right to read what they mount. */
function mountedFrom({ path }: Ask): string[] {
  const from = new URLSearchParams(path.split('?')[1]).get('from');
  return from === null ? [] : [`repository:${from}:pull`];
}
