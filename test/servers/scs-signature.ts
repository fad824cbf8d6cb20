import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ScsRefusal } from './scs-refusal.ts';

/** Minutes by which the date of a request may differ from the server's. */
const tolerance = 15;

/** What of a request the signature is about, as it came. */
export interface SignedRequest {
  readonly method: string;
  /** Still escaped. */
  readonly path: string;
  /** Parameters in their order, as they came but decoded; one without equals sign has no value. */
  readonly parameters: readonly (readonly [name: string, value: string | undefined])[];
  readonly headers: IncomingHttpHeaders;
}

/** Whose signatures are good, and what time it is. */
export interface Verifier {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly now: () => Date;
}

/** @throws ScsRefusal 403 unless the request, or the URL, is signed */
export function verify(request: SignedRequest, verifier: Verifier): void {
  const url = new Map(request.parameters);
  if (request.headers.authorization !== undefined)
    verifyHeader(request, request.headers.authorization, verifier);
  else if (url.has('Signature')) verifyUrl(request, url, verifier);
  else throw new ScsRefusal(403, 'AccessDenied', 'neither the request nor the URL is signed');
}

function verifyHeader(request: SignedRequest, header: string, verifier: Verifier): void {
  const [, accessKey, given] = /^([^: ]+):([A-Za-z0-9+/]{27}=)$/.exec(header) ?? [];
  if (accessKey === undefined || given === undefined)
    throw new ScsRefusal(403, 'AccessDenied', 'Authorization is not <access key>:<signature>');
  if (accessKey !== verifier.accessKey) throw new ScsRefusal(403, 'InvalidAccessKeyId', 'no such access key');
  const own = request.headers['x-scs-date'];
  const date = typeof own === 'string' ? own : (request.headers.date ?? '');
  const time = Date.parse(date.replace(/ UTC$/, ' GMT'));
  const isDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (UTC|GMT)$/.test(date);
  const isClose = Math.abs(verifier.now().getTime() - time) <= tolerance * 60_000;
  if (!isDate || !isClose) throw new ScsRefusal(403, 'RequestTimeTooSkewed', `the date is ${date}`);
  assertSignature(request, given, own === undefined ? date : '', verifier);
}

function verifyUrl(request: SignedRequest, url: Map<string, string | undefined>, verifier: Verifier): void {
  const { Expires = '', SOHUCSAccessKeyId, Signature = '' } = Object.fromEntries(url);
  if (request.method !== 'GET') throw new ScsRefusal(403, 'AccessDenied', 'a signed URL is for GET');
  if (SOHUCSAccessKeyId !== verifier.accessKey)
    throw new ScsRefusal(403, 'InvalidAccessKeyId', 'no such access key');
  if (!/^\d+$/.test(Expires)) throw new ScsRefusal(403, 'AccessDenied', 'Expires is no number of seconds');
  assertSignature(request, Signature, Expires, verifier);
  if (verifier.now().getTime() > Number(Expires) * 1000)
    throw new ScsRefusal(403, 'AccessDenied', 'the URL has expired');
}

function assertSignature(request: SignedRequest, given: string, date: string, { secretKey }: Verifier): void {
  const expected = createHmac('sha1', secretKey).update(textOf(request, date)).digest();
  const actual = Buffer.from(given, 'base64');
  if (actual.length === expected.length && timingSafeEqual(actual, expected)) return;
  // As S3 does; a registry must not pass it on.
  throw new ScsRefusal(
    403,
    'SignatureDoesNotMatch',
    `StringToSign: ${JSON.stringify(textOf(request, date))}`,
  );
}

function textOf({ method, path, parameters, headers }: SignedRequest, date: string): string {
  let text = `${method.toLowerCase()}\n`;
  text += `${String(headers['content-md5'] ?? '')}\n`;
  text += `${headers['content-type'] ?? ''}\n`;
  text += `${date}\n`;
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-scs-'));
  own.sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, value] of own)
    text += `${name}:${Array.isArray(value) ? value.join(',') : (value ?? '')}\n`;
  text += path;
  const signed = parameters.filter(([name]) => name === 'acl' || name === 'location');
  signed.sort(([a], [b]) => (a < b ? -1 : 1));
  signed.forEach(([name, value = ''], index) => {
    text += (index === 0 ? '?' : '&') + name + (value === '' ? '' : `=${value}`);
  });
  return text;
}
