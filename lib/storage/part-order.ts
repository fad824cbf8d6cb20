import { InvalidPart, type UploadedPart } from './store.ts';

/** Not every server checks the order. @throws InvalidPart */
export function assertOrder(key: string, parts: readonly UploadedPart[]): void {
  if (parts.length === 0) throw new InvalidPart(key, `an upload of ${key} cannot be completed without parts`);
  if (parts.some(({ number }, i) => number <= (parts[i - 1]?.number ?? 0)))
    throw new InvalidPart(key, `the parts of ${key} are out of order`);
}
