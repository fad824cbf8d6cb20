import type { IncomingMessage } from 'node:http';
import { readXml, textOf } from './xml.ts';

/** A failed request. */
export class ScsError extends Error {
  override readonly name = 'ScsError';
  /**
   * SCS's error code, such as `NoSuchKey`; `HTTP404` if the response has none, as for HEAD; without a response the system's
   * code, such as `ECONNRESET`, or `ETIMEDOUT`.
   */
  readonly code: string;
  /** HTTP status, or undefined without a response. */
  readonly status: number | undefined;
  /** Media type of the response. */
  readonly type: string | undefined;
  readonly requestId: string | undefined;
  /** How often the request was sent; each attempt may have taken effect. */
  attempts = 1;

  constructor(
    code: string,
    message: string,
    {
      status,
      type,
      requestId,
      cause,
    }: Partial<Pick<ScsError, 'status' | 'type' | 'requestId' | 'cause'>> = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.type = type;
    this.requestId = requestId;
  }
}

/** The error in a response. */
export function responseError({ statusCode: status = 0, headers }: IncomingMessage, body: string): ScsError {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  const known = { status, ...(type !== '' && { type: type.trim() }) };
  const error = readXml(body)['Error'];
  const code = textOf(error, 'Code');
  if (code === '') return new ScsError(`HTTP${status}`, `SCS answered ${status}`, known);
  const requestId = textOf(error, 'RequestId');
  return new ScsError(code, textOf(error, 'Message'), { ...known, ...(requestId !== '' && { requestId }) });
}

/** The error of a request without a response. */
export function connectionError(cause: unknown): ScsError {
  const { name, code, message } = cause as NodeJS.ErrnoException;
  return new ScsError(code ?? name, message, { cause });
}
