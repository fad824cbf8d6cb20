import { createHmac } from 'node:crypto';
import { defaultCost, type Entries } from './entries.ts';

/** A hash without a known password. */
export function dummyHash(cost: number): string {
  return `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`;
}

/**
 * The hash that passwords of an unknown user are compared with. Its cost is that of some user: users of lower costs take a
 * millisecond longer, so names of unknown users must be spread over the costs as those of users are. The choice depends on
 * the name alone, since a time that varies would give it away. It is secret, and stays as the file grows.
 */
export function dummyHashFor(name: string, { users, costs }: Entries): string {
  const [first] = users.values();
  const key = first?.hash ?? '';
  const fraction = createHmac('sha256', key).update(name).digest().readUInt32BE() / 2 ** 32;
  return dummyHash(costs[Math.floor(fraction * costs.length)] ?? defaultCost);
}
