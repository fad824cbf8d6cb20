import type { StoreLimits, UploadedPart } from '../../storage/store.ts';

/*
 * Part sizes. They double after each tenth of the parts an upload may have, so that all parts hold a hundred times what they
 * would at the first size: 8 TiB in 10,000 parts of at least 8 MiB.
 */

/** Maximum bytes that stay in the session because they do not fill a part. */
export const maxTailBytes = 64 * 1024 * 1024;

/**
 * The size of the next part.
 * @param length of the whole object, if known: it determines the size if all parts must be equal
 */
export function partSize(
  limits: StoreLimits,
  parts: readonly UploadedPart[],
  length: number | undefined,
): number {
  const { partSize: base, maxPartSize, maxParts, equalParts } = limits;
  if (equalParts) return parts[0]?.size ?? Math.max(base, Math.ceil((length ?? 0) / maxParts));
  return Math.min(base * 2 ** Math.floor(parts.length / (maxParts / 10)), maxPartSize);
}

/** The smallest tail that becomes a part at the end of a request. Many small chunks must not use up all parts. */
export function smallestPart(limits: StoreLimits, parts: readonly UploadedPart[]): number {
  const { minPartSize, maxParts, equalParts } = limits;
  const next = partSize(limits, parts, undefined);
  if (equalParts) return next;
  return parts.length < maxParts / 2 ? minPartSize : Math.min(next, maxTailBytes);
}

/** Bytes of a write to a part that takes them as they arrive. */
export const blockBytes = 512 * 1024;

/** Bytes of memory that need no claim. */
export const unclaimedBytes = 64 * 1024;
