import type { Logger } from 'pino';
import type { OnDamaged } from './storage/store.ts';

/** Lines in that time; each object is named once in it. */
const mostLines = 100;

/** Milliseconds. */
const period = 60 * 60 * 1000;

/**
 * Names what is passed over because it is damaged or cannot be read, so that somebody mends it. Bounded, as every walk meets
 * it again, and there may be very much of it.
 * @param write is given the error too; without one when others are left out
 */
export function namingDamage(write: (message: string, error?: unknown) => void): OnDamaged {
  let named = new Set<string>();
  let since = 0;
  return (key, error) => {
    if (Date.now() - since >= period) [named, since] = [new Set(), Date.now()];
    if (named.has(key) || named.size > mostLines) return;
    named.add(key);
    if (named.size <= mostLines) write(`passed over ${key}, which is damaged or cannot be read`, error);
    else write(`more is damaged or cannot be read; it is named again ${period / 60_000} minutes later`);
  };
}

export function damageLog(log: Logger): OnDamaged {
  return namingDamage((message, error) => {
    log.warn(error === undefined ? {} : { err: error }, message);
  });
}
