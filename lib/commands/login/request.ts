import { readText } from '../../access/oidc/read-text.ts';
import { isLoopback } from '../../config/loopback.ts';

/** Milliseconds that a response may take. */
const timeoutMs = 20_000;

/** Bytes of a response. */
const maxSize = 256 * 1024;

/** A response with its body, which has JSON or is empty. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  /** Empty where the body is no JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Sends a request, and follows no redirect, which would take secrets elsewhere.
 * @param what is asked, for the message
 * @throws Error that says why, without what was sent
 */
export async function ask(what: string, url: string, init: RequestInit = {}): Promise<Reply> {
  try {
    const response = await fetch(url, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const { status, headers } = response;
    return { status, headers, body: objectOf(await readText(response, maxSize)) };
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error && cause.message !== '' ? cause.message : message;
    throw new Error(`${what} did not answer: ${reason}`, { cause: error });
  }
}

/** A JSON object; an empty one for anything else. */
export function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Whether a secret may be sent to a URL: on https, or to this machine. */
export function isSafe(text: string): boolean {
  const url = URL.parse(text);
  if (url?.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackUrl(url));
}

export function isLoopbackUrl({ hostname }: URL): boolean {
  return isLoopback(hostname.replace(/^\[|\]$/g, ''));
}
