import { createHmac } from 'node:crypto';
import { encodeQuery, type Query } from './escape.ts';

/** The two keys of an account. */
export interface Keys {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The parts of a request that a signature may cover. */
export interface Signable {
  readonly method: string;
  /** Escaped: `/bucket/key`. */
  readonly path: string;
  readonly query: Query;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Query parameters that are signed; all others are not. */
const signedParameters = ['acl', 'location'];

/**
 * The string to sign.
 * @param date the Date header, or the Expires value of a signed URL; ignored if the request has `x-scs-date`
 */
export function stringToSign({ method, path, query, headers }: Signable, date: string): string {
  const own = Object.keys(headers)
    .filter((name) => name.startsWith('x-scs-'))
    .sort()
    .map((name) => `${name}:${headers[name] ?? ''}\n`);
  const named = Object.fromEntries(Object.entries(query).filter(([name]) => signedParameters.includes(name)));
  return [
    method.toLowerCase(),
    headers['content-md5'] ?? '',
    headers['content-type'] ?? '',
    headers['x-scs-date'] === undefined ? date : '',
    own.join('') + path + encodeQuery(named),
  ].join('\n');
}

/** The Authorization header. It has no scheme. */
export function authorization(keys: Keys, request: Signable, date: string): string {
  return `${keys.accessKey}:${signature(keys, stringToSign(request, date))}`;
}

/** The query of a signed URL, valid until `expires`, in seconds since 1970. */
export function signedQuery(keys: Keys, request: Signable, expires: number): Query {
  return {
    ...request.query,
    Expires: String(expires),
    SOHUCSAccessKeyId: keys.accessKey,
    Signature: signature(keys, stringToSign(request, String(expires))),
  };
}

function signature({ secretKey }: Keys, text: string): string {
  return createHmac('sha1', secretKey).update(text).digest('base64');
}

/** A Date header as SCS's own SDK writes it: RFC 1123 with the zone `UTC`. */
export function dateHeader(date: Date): string {
  return date.toUTCString().replace('GMT', 'UTC');
}
