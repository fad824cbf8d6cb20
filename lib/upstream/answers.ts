import type { IncomingMessage } from 'node:http';
import { UpstreamError } from './upstream.ts';

/** Characters of what another registry says that go into a message. */
const maxShown = 300;

interface Asked {
  readonly host: string;
  readonly what: string;
  readonly retryAfterMs: number | undefined;
}

/** The error for a response that is not what was asked for. */
export function errorOf(
  { statusCode = 0, headers }: IncomingMessage,
  body: Buffer,
  { host, what, retryAfterMs }: Asked,
): UpstreamError {
  const said = /[/+]json\b/.test(headers['content-type'] ?? '') ? saidIn(body) : undefined;
  const message = `${host} answered ${statusCode} when asked for ${what}${said === undefined ? '' : `: ${said}`}`;
  return new UpstreamError(kindOf(statusCode), message, { retryAfterMs });
}

function kindOf(status: number): UpstreamError['kind'] {
  if (status === 401 || status === 403) return 'denied';
  if (status === 429) return 'limited';
  // Another 4xx is about the request, so the same one is answered the same.
  return status >= 400 && status < 500 && status !== 408 ? 'unknown' : 'unavailable';
}

/** The first of the errors (OCI Distribution Spec, "Error Codes"), or what token services send. */
function saidIn(body: Buffer): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  const { errors, details, error_description: description } = fieldsOf(value);
  const { code, message } = fieldsOf(Array.isArray(errors) ? errors[0] : undefined);
  const texts = [code, message, details, description].filter((one) => typeof one === 'string' && one !== '');
  const text = texts
    .join(': ')
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, maxShown);
  return text === '' ? undefined : text;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
