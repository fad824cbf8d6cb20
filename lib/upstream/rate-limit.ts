import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { UpstreamError } from './upstream.ts';

/** Milliseconds after which a registry is asked again, however long it wants to be left alone: one may be wrong about its clock. */
const maxPauseMs = 60 * 60 * 1000;

/** Milliseconds of a pause that a registry asks for by 429 without saying how long. */
const usualPauseMs = 60_000;

/** Seconds since 1970 from which a number is such a time, and no duration. */
const firstEpochSeconds = 1_000_000_000;

/** When a registry may be asked again, as its responses say. */
export class RateLimit {
  readonly #host: string;
  readonly #maxWaitMs: number;
  /** By the wall clock: that of the process stands still while a function is frozen. */
  #notBefore = 0;

  /** @param maxWaitMs how long a request waits instead of failing */
  constructor(host: string, maxWaitMs: number) {
    this.#host = host;
    this.#maxWaitMs = maxWaitMs;
  }

  /** Waits until the registry may be asked. @throws UpstreamError limited, at once, if that is later than a request may wait */
  async wait(signal?: AbortSignal): Promise<void> {
    const ms = this.#remainingMs();
    if (ms === 0) return;
    if (ms > this.#maxWaitMs)
      throw new UpstreamError(
        'limited',
        `${this.#host} has asked for a pause, which ends in ${Math.ceil(ms / 1000)} s`,
        { retryAfterMs: ms },
      );
    // Not all that wait at the same millisecond.
    await delay(ms + Math.random() * Math.min(1000, ms / 10), undefined, signal && { signal });
  }

  /** Reads what a response says. @returns the milliseconds after which to ask again, if it says so */
  read(status: number | undefined, headers: IncomingHttpHeaders): number | undefined {
    const pause = status === 429 || status === 503 ? pauseOf(headers) : undefined;
    const ms = pause ?? resetOfExhausted(headers) ?? (status === 429 ? usualPauseMs : undefined);
    if (ms === undefined) return undefined;
    const bounded = Math.min(ms, maxPauseMs);
    this.#notBefore = Math.max(this.#notBefore, Date.now() + bounded);
    return bounded;
  }

  #remainingMs(): number {
    const ms = this.#notBefore - Date.now();
    // A clock that was set back says nothing.
    return ms > maxPauseMs ? 0 : Math.max(0, ms);
  }
}

/** Of a refusal: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), or what Docker Hub and GitHub send. */
function pauseOf(headers: IncomingHttpHeaders): number | undefined {
  const after = headers['retry-after'];
  return (
    (after !== undefined && /[a-z]/i.test(after) ? untilMs(Date.parse(after)) : fromNumber(after)) ??
    fromNumber(headers['x-retry-after']) ??
    fromNumber(headers['ratelimit-reset']) ??
    fromNumber(headers['x-ratelimit-reset'])
  );
}

/** Of an answer that was the last permitted one and says when the next may be asked. Docker Hub does not say when. */
function resetOfExhausted(headers: IncomingHttpHeaders): number | undefined {
  for (const prefix of ['', 'x-']) {
    const remaining = numberOf(headers[`${prefix}ratelimit-remaining`]);
    if (remaining === 0) return fromNumber(headers[`${prefix}ratelimit-reset`]);
  }
  return undefined;
}

/** Seconds from now, or since 1970. */
function fromNumber(header: string | readonly string[] | undefined): number | undefined {
  const seconds = numberOf(header);
  if (seconds === undefined) return undefined;
  return seconds >= firstEpochSeconds ? untilMs(seconds * 1000) : seconds * 1000;
}

/** A whole number, perhaps with parameters: `0;w=21600`. */
function numberOf(header: string | readonly string[] | undefined): number | undefined {
  const [, digits] = /^\s*(\d{1,12})(?:\.\d+)?\s*(?:[;,].*)?$/.exec(String(header)) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

function untilMs(time: number): number | undefined {
  return Number.isNaN(time) ? undefined : Math.max(0, time - Date.now());
}
