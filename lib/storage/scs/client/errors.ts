import type { IncomingMessage } from 'node:http';
import { readXml, textOf } from './xml.ts';

/** A request that did not succeed. */
export class ScsError extends Error {
  override readonly name = 'ScsError';
  /**
   * SCS's word for what is wrong, such as `NoSuchKey`; `HTTP404` where it gave none, as in the answer to a HEAD; the
   * system's, such as `ECONNRESET`, or `ETIMEDOUT` where there was no answer.
   */
  readonly code: string;
  /** HTTP status, or undefined where there was no answer. */
  readonly status: number | undefined;
  /** Media type of the answer. */
  readonly type: string | undefined;
  readonly requestId: string | undefined;
  /** How many times the request was sent; each may have had its effect. */
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

/** The error of an answer that is none of success. */
export function responseError({ statusCode: status = 0, headers }: IncomingMessage, body: string): ScsError {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  const known = { status, ...(type !== '' && { type: type.trim() }) };
  const error = readXml(body)['Error'];
  const code = textOf(error, 'Code');
  if (code === '') return new ScsError(`HTTP${status}`, `SCS answered ${status}`, known);
  const requestId = textOf(error, 'RequestId');
  return new ScsError(code, textOf(error, 'Message'), { ...known, ...(requestId !== '' && { requestId }) });
}

/** The error of a request that had no answer. */
export function connectionError(cause: unknown): ScsError {
  const { name, code, message } = cause as NodeJS.ErrnoException;
  return new ScsError(code ?? name, message, { cause });
}
