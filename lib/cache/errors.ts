import { RegistryError } from '../protocol/errors.ts';
import type { Reference } from '../protocol/references.ts';
import { UpstreamError } from '../upstream/upstream.ts';

/** Milliseconds after which clients try again if the upstream does not say when. */
const usualPauseMs = 10_000;

/**
 * What a client is told of an upstream that did not give what it was asked for. A 401 of the upstream is about the credentials that this
 * registry has there, and none of the client's would help: it is 403, like a 403 of the upstream.
 * @param error anything but an UpstreamError is returned as it is
 * @param unknown what is answered to a 404
 */
export function asRegistryError(error: unknown, unknown: RegistryError): unknown {
  if (!(error instanceof UpstreamError)) return error;
  const { kind, message, retryAfterMs = usualPauseMs } = error;
  const again = { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) };
  switch (kind) {
    case 'unknown':
      return unknown;
    case 'denied':
      return new RegistryError(
        'DENIED',
        `the upstream of this repository refuses it: ${message}; check the credentials that this registry has for it`,
        [],
        { cause: error },
      );
    case 'limited':
      return new RegistryError(
        'TOO_MANY_REQUESTS',
        `the upstream of this repository takes no more requests now, and this is not cached: ${message}`,
        [],
        { cause: error, headers: again },
      );
    case 'unavailable':
      return new RegistryError(
        'UPSTREAM_UNAVAILABLE',
        // The reason may name addresses of the network that this registry is in. The log has it.
        'the upstream of this repository cannot be reached, and this is not cached; try again',
        [],
        { cause: error, headers: again },
      );
  }
}

/** Whether an error says that the upstream could not be asked: what is cached is answered then. */
export function isOutage(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.kind === 'limited' || error.kind === 'unavailable');
}

export function unknownManifest(reference: Reference): RegistryError {
  const detail = reference.kind === 'tag' ? { tag: reference.tag } : { digest: reference.digest };
  return new RegistryError('MANIFEST_UNKNOWN', undefined, [detail]);
}

/** The result of a look into the bucket, or undefined if what it is about is not there. */
export async function undefinedIfUnknown<T>(look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined;
    throw error;
  }
}
