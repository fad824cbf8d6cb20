import type { Credentials } from './signature.ts';

/** Credentials that may end. */
export interface TemporaryCredentials extends Credentials {
  readonly expiration?: Date | undefined;
}

/** Finds credentials anew, if those it found last have ended. */
export type FindCredentials = () => Promise<TemporaryCredentials>;

type Environment = Readonly<Record<string, string | undefined>>;

/** Credentials are replaced this long before they end, as in the SDK. */
const refreshBeforeMs = 5 * 60_000;

/**
 * Credentials in the environment, as Lambda gives them to a function. They come first in the SDK's chain, unless a profile is
 * named, and last as long as the process, unless they say when they end.
 */
export function environmentCredentials(environment: Environment): Credentials | undefined {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'] ?? '';
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'] ?? '';
  const isForChain =
    (environment['AWS_PROFILE'] ?? '') !== '' || (environment['AWS_CREDENTIAL_EXPIRATION'] ?? '') !== '';
  if (isForChain || accessKeyId === '' || secretAccessKey === '') return undefined;
  const sessionToken = environment['AWS_SESSION_TOKEN'] ?? '';
  return { accessKeyId, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) };
}

/** Keeps credentials until shortly before they end. */
export class KeptCredentials {
  readonly #find: FindCredentials;
  #kept: TemporaryCredentials | undefined;

  constructor(find: FindCredentials) {
    this.#find = find;
  }

  /** Does not wait while those that are kept are valid. */
  get(): Credentials | Promise<Credentials> {
    const kept = this.#kept;
    const endMs = kept?.expiration?.getTime() ?? Infinity;
    if (kept !== undefined && Date.now() < endMs - refreshBeforeMs) return kept;
    return this.#renew();
  }

  async #renew(): Promise<Credentials> {
    this.#kept = await this.#find();
    return this.#kept;
  }
}
