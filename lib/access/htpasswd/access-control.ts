import type { AccessControl, Caller, Credentials } from '../access.ts';
import { basicCredentials } from '../basic.ts';
import { unauthenticated, unrestricted } from '../callers.ts';
import type { Htpasswd } from './htpasswd.ts';

/** `REGISTRY_AUTH=htpasswd`: users of the password file may do everything, others nothing. */
export class HtpasswdAccess implements AccessControl {
  readonly #htpasswd: Htpasswd;
  readonly #challenge: string;

  /** @param realm for the challenge, without quotes and backslashes */
  constructor(htpasswd: Htpasswd, realm: string) {
    this.#htpasswd = htpasswd;
    this.#challenge = `Basic realm="${realm}"`;
  }

  async authenticate({ authorization, address }: Credentials): Promise<Caller> {
    const login = basicCredentials(authorization);
    if (login === undefined) return unauthenticated;
    const { name } = await this.#htpasswd.verify(login.user, login.password, address);
    return unrestricted(name);
  }

  challenge(): string {
    return this.#challenge;
  }

  async close(): Promise<void> {
    await this.#htpasswd.close();
  }
}
