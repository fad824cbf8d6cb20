import { createHmac } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { webhookSecretPrefix as prefix } from '../../config/notifications.ts';

/**
 * The headers of Standard Webhooks (https://www.standardwebhooks.com), for which there are libraries in most languages: HMAC-SHA-256
 * over id, time and body. With several secrets there are several signatures, and a receiver takes a delivery of which it knows any
 * one: so a secret is replaced without a moment in which deliveries are refused. A receiver that compares the time with its own, as
 * the libraries do, refuses a delivery that somebody repeats later.
 * @param secrets at least one
 */
export function signatureHeaders(
  secrets: readonly string[],
  id: string,
  at: Date,
  body: string,
): OutgoingHttpHeaders {
  const timestamp = String(Math.floor(at.getTime() / 1000));
  const signatures = secrets.map((secret) => {
    const hmac = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`);
    return `v1,${hmac.digest('base64')}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}

/** The bytes of a secret. One without the prefix is taken as it is written. */
function keyOf(secret: string): Buffer {
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret);
}
