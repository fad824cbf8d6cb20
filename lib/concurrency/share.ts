/**
 * A worker's part of what all workers of a server may use together.
 * @param least what a worker needs in any case, although the parts then add up to more
 */
export function share(total: number, workers: number, least = 1): number {
  return Math.max(least, Math.floor(total / workers));
}
