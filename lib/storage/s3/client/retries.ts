import { throttlingCodes, type S3Error } from './errors.ts';

/*
 * What the AWS SDKs do by default ("Retry behavior", standard mode, in the AWS SDKs and Tools Reference Guide): exponential
 * delays with full jitter, and a quota that all requests share, so that an outage is not made worse.
 */

/** Attempts at one request. */
export const maxAttempts = 5;

/** The first delay in milliseconds at most, after an error and after a refusal to serve so many requests. */
const firstDelayMs = 50;
const firstThrottledDelayMs = 1_000;
const maxDelayMs = 20_000;

/** What a server that names a delay may add to it. */
const maxAddedDelayMs = 5_000;

/** The quota, what a retry takes of it, and what a request that succeeds at once gives back. */
const quota = 500;
const retryCost = 14;
const throttledCost = 5;
const successGain = 1;

const transientCodes = [
  ...[
    'ECONNRESET',
    'ECONNREFUSED',
    'EPIPE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENOTFOUND',
    'EAI_AGAIN',
  ],
  ...['RequestTimeout', 'InternalError'],
];
const transientStatuses = [500, 502, 503, 504];

/** Decides which requests are sent again, and when. */
export class Retries {
  #quota = quota;

  /**
   * Takes a retry from the quota.
   * @param failures attempts that have failed, from 1
   * @returns the delay before it in milliseconds, and its cost; undefined if there is to be none
   */
  take(error: S3Error, failures: number): { readonly delayMs: number; readonly cost: number } | undefined {
    if (failures >= maxAttempts) return undefined;
    const isThrottled = error.status === 429 || throttlingCodes.includes(error.code);
    if (!isThrottled && !isTransient(error)) return undefined;
    const cost = isThrottled ? throttledCost : retryCost;
    if (cost > this.#quota) return undefined;
    this.#quota -= cost;
    const first = isThrottled ? firstThrottledDelayMs : firstDelayMs;
    const backoffMs = Math.random() * Math.min(first * 2 ** (failures - 1), maxDelayMs);
    const namedMs = Math.min(retryAfterMs(error), backoffMs + maxAddedDelayMs);
    return { delayMs: Math.max(backoffMs, namedMs), cost };
  }

  /** @param cost of the last retry before the success; undefined if there was none */
  succeeded(cost = successGain): void {
    this.#quota = Math.min(quota, this.#quota + cost);
  }
}

function isTransient({ code, status, isClockCorrected }: S3Error): boolean {
  if (isClockCorrected || transientCodes.includes(code)) return true;
  return status !== undefined && transientStatuses.includes(status);
}

/** The delay that a response asks for, in milliseconds (RFC 9110, 10.2.3); 0 if none. */
function retryAfterMs({ details }: S3Error): number {
  const value = details.headers?.['retry-after'];
  if (typeof value !== 'string') return 0;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}
