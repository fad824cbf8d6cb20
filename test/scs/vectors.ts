import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A request as SCS's own SDK sent it. */
export interface KnownRequest {
  readonly name: string;
  readonly method: string;
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Known answers: what SCS's own SDK sent, and the URLs it signed, with made-up keys. */
export interface Vectors {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly bucket: string;
  readonly requests: readonly KnownRequest[];
  readonly signedUrls: readonly { readonly expires: string; readonly key: string; readonly url: string }[];
}

export const vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8')) as Vectors;

/** @throws when there is none of this name */
export function knownRequest(name: string): KnownRequest {
  const request = vectors.requests.find((one) => one.name === name);
  if (request === undefined) throw new Error(`no known request ${name}`);
  return request;
}
