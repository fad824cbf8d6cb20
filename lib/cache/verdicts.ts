import { RegistryError } from '../protocol/errors.ts';
import { ExpiringCache } from '../registry/expiring-cache.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import { isOutage } from './errors.ts';

/** Bytes of all that is kept, characters of a message, and bytes of an error without it. */
const maxBytes = 4 * 1024 * 1024;
const maxMessage = 500;
const errorBytes = 2048;

/** What was found out to be refused or not there, so that an upstream need not be asked for it again and again. */
export class Verdicts {
  readonly #known: ExpiringCache<string, RegistryError | UpstreamError>;
  readonly #holds: (error: unknown) => boolean;

  /** @param ttlMs how long one holds @param holds which errors are kept */
  constructor(ttlMs: number, holds: (error: unknown) => boolean) {
    const sizeOf = ({ message }: RegistryError | UpstreamError) => errorBytes + 2 * message.length;
    this.#known = new ExpiringCache({ ttlMs, maxSize: maxBytes, sizeOf });
    this.#holds = holds;
  }

  /** @throws what was found out about this key before, or the work's own error */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const known = this.#known.get(key);
    if (known !== undefined) throw known;
    try {
      return await work();
    } catch (error) {
      const kept = this.#holds(error) ? shortOf(error) : undefined;
      if (kept !== undefined) this.#known.set(key, kept);
      throw error;
    }
  }
}

/** Whether this registry has refused an image for what its bytes say. They do not change. */
export function isAboutBytes(error: unknown): boolean {
  return error instanceof RegistryError && ['DENIED', 'MANIFEST_UNKNOWN'].includes(error.failure);
}

/** Whether the same request would soon have the same answer. */
export function isVerdict(error: unknown): boolean {
  return isAboutBytes(error) || (error instanceof UpstreamError && !isOutage(error));
}

/** Without its cause and details, whose size is not known. */
function shortOf(error: unknown): RegistryError | UpstreamError | undefined {
  if (error instanceof RegistryError)
    return new RegistryError(error.failure, error.message.slice(0, maxMessage));
  return error instanceof UpstreamError
    ? new UpstreamError(error.kind, error.message.slice(0, maxMessage))
    : undefined;
}
