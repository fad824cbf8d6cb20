import { digestParts, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { digestOf } from '../registry/uploads/content-hash.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { Source } from './sources.ts';

/** Nothing follows the headers of an empty response, so nothing would tell that it is wrong. @throws UpstreamError */
export function assertSize({ upstream }: Source, digest: Digest, size: number): void {
  if (size > 0 || digest === digestOf(new Uint8Array(), digestParts(digest).algorithm)) return;
  throw new UpstreamError('unavailable', `${upstream.host} says that blob ${digest} is empty, and it is not`);
}

/** Whether the bytes of an upstream are not those of the digest. */
export function isWrong(error: unknown): boolean {
  return (
    error instanceof RegistryError && (error.failure === 'DIGEST_INVALID' || error.failure === 'SIZE_INVALID')
  );
}
