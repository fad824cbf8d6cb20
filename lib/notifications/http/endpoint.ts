import { STATUS_CODES, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { readBody, send } from '../../outbound/send.ts';
import type { EndpointConfig, WebhookTarget } from '../../config/notifications.ts';
import { ConfiguredEndpoint } from '../configured-endpoint.ts';
import type { Delivery } from '../../registry/subscriber.ts';
import type { EventOptions } from '../formats/distribution-event.ts';
import { formatEvent, type FormatOptions } from '../formats/format.ts';
import type { Notification } from '../../registry/notification.ts';
import { retryAfterMs } from './retry-after.ts';
import { signatureHeaders } from './signature.ts';

/** Bytes of a response that are read, and for how long, so that a receiver that sends some is not cut off. */
const maxResponseBytes = 64 * 1024;
const maxResponseMs = 1_000;

/** Characters: a message about a certificate has all of its names. */
const maxReasonLength = 500;

/**
 * Tells a URL of each event by a POST. As for distribution, a status below 400 means that it was taken; a redirect is not followed.
 * The name is resolved once for each delivery, and only public addresses are asked unless the options permit others.
 */
export class HttpEndpoint extends ConfiguredEndpoint {
  readonly #target: WebhookTarget;
  readonly #url: URL;
  readonly #timeoutMs: number;
  readonly #format: FormatOptions;

  constructor(config: EndpointConfig, target: WebhookTarget, events: EventOptions) {
    super(config);
    this.#target = target;
    this.#url = new URL(target.url);
    this.#timeoutMs = config.timeoutMs;
    this.#format = { ...events, format: config.format };
  }

  async deliver(notification: Notification, signal?: AbortSignal): Promise<Delivery> {
    const { contentType, body } = formatEvent(notification, this.#format);
    try {
      const response = await send(this.#url, {
        method: 'POST',
        headers: this.#headers(notification, contentType, body),
        body: Buffer.from(body),
        timeoutMs: this.#timeoutMs,
        privateAddresses: this.#target.privateAddresses
          ? 'permitted'
          : { remedy: `set privateaddresses of the endpoint ${this.name} if that is meant` },
        ...(signal && { signal }),
      });
      await discard(response);
      return deliveryOf(response);
    } catch (error) {
      return { outcome: 'failed', reason: reasonOf(error).slice(0, maxReasonLength) };
    }
  }

  /** Names in lower case, so that those of the settings cannot come twice. */
  #headers({ id }: Notification, contentType: string, body: string): OutgoingHttpHeaders {
    const { headers, secrets } = this.#target;
    const configured = Object.entries(headers).map(([name, values]) => [name.toLowerCase(), [...values]]);
    return {
      'user-agent': 'stowage',
      ...(Object.fromEntries(configured) as OutgoingHttpHeaders),
      'content-type': contentType,
      'content-length': Buffer.byteLength(body),
      ...(secrets.length > 0 && signatureHeaders(secrets, id, new Date(), body)),
    };
  }
}

/** What the receiver says beside its status changes nothing, not even if it is never at an end. */
async function discard(response: IncomingMessage): Promise<void> {
  const stop = new AbortController();
  const read = readBody(response, maxResponseBytes).catch(() => undefined);
  await Promise.race([read, delay(maxResponseMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
  stop.abort();
  response.destroy();
}

/** Refusals of what was sent, rather than of whoever sends it or of the address. */
const aboutEvent: ReadonlySet<number> = new Set([400, 413, 415, 422]);

function deliveryOf({ statusCode = 0, headers }: IncomingMessage): Delivery {
  const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ''}`.trimEnd();
  if (statusCode >= 200 && statusCode < 400) return { outcome: 'taken', status };
  const reason = `the receiver answered ${status}`;
  if (statusCode >= 400 && statusCode < 500 && statusCode !== 408 && statusCode !== 429)
    return { outcome: 'refused', status, reason, isAboutEvent: aboutEvent.has(statusCode) };
  return {
    outcome: 'failed',
    status,
    reason,
    retryAfterMs: retryAfterMs(headers['retry-after'], Date.now()),
  };
}

/** Without the URL. Errors of connections to several addresses have their message inside. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return error.message === '' ? (code ?? error.name) : error.message;
}
