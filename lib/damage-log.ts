import type { Logger } from 'pino';
import type { OnDamaged } from './storage/store.ts';

/** Reported objects per period, each once. */
const maxReports = 100;

const periodMs = 60 * 60 * 1000;

/**
 * Reports objects that are skipped because they are damaged or unreadable. Rate-limited, since every listing meets them
 * again.
 * @param write receives the error too, except in the message that further objects are omitted
 */
export function reportDamage(write: (message: string, error?: unknown) => void): OnDamaged {
  let reported = new Set<string>();
  let since = 0;
  return (key, error) => {
    if (Date.now() - since >= periodMs) [reported, since] = [new Set(), Date.now()];
    if (reported.has(key) || reported.size > maxReports) return;
    reported.add(key);
    if (reported.size <= maxReports) write(`skipped ${key}, which is damaged or unreadable`, error);
    else
      write(
        `more objects are damaged or unreadable; they are reported again after ${periodMs / 60_000} minutes`,
      );
  };
}

export function damageLog(log: Logger): OnDamaged {
  return reportDamage((message, error) => {
    log.warn(error === undefined ? {} : { err: error }, message);
  });
}
