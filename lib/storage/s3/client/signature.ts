import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { encodeQuery, type Query } from './uri.ts';

/*
 * AWS Signature Version 4 for S3 ("Authenticating Requests: Using the Authorization Header" and "Using Query Parameters",
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html).
 */

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Where signatures are valid. */
export interface SigningScope {
  readonly region: string;
  /** `s3` unless the bucket is of a special kind. */
  readonly service: string;
}

/** What a signature covers. */
export interface Signable {
  readonly method: string;
  /** Escaped. */
  readonly path: string;
  /** As `encodeQuery` makes it. */
  readonly query: string;
  /** Names in lower case, `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
}

const algorithm = 'AWS4-HMAC-SHA256';

/** SHA-256 of no bytes. */
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Signs requests. A key is valid for a day, so it is made once and kept. */
export class Signer {
  readonly #scope: SigningScope;
  #key: { readonly secret: string; readonly date: string; readonly object: KeyObject } | undefined;
  #time: { readonly second: number; readonly text: string } | undefined;

  constructor(scope: SigningScope) {
    this.#scope = scope;
  }

  /**
   * The headers of a signed request: those given, and what signing adds.
   * @param timeMs of the signature, since 1970
   */
  signedHeaders(
    { headers, ...request }: Signable,
    body: Uint8Array | undefined,
    credentials: Credentials,
    timeMs: number,
  ): Record<string, string> {
    const time = this.#timeText(timeMs);
    const bodyHash = body === undefined || body.byteLength === 0 ? emptyHash : hash('sha256', body);
    const all: Record<string, string> = {
      ...headers,
      'x-amz-content-sha256': bodyHash,
      'x-amz-date': time,
    };
    if (credentials.sessionToken !== undefined) all['x-amz-security-token'] = credentials.sessionToken;
    const names = Object.keys(all).sort();
    const signature = this.#signature({ ...request, headers: all }, names, bodyHash, credentials, time);
    all['authorization'] =
      `${algorithm} Credential=${this.#credential(credentials, time)},SignedHeaders=${names.join(';')},Signature=${signature}`;
    return all;
  }

  /**
   * The query of a request that the server refuses once its time is over. All given headers are signed; a body is covered only if one
   * of them is its checksum.
   * @param timeMs of the signature, since 1970
   * @param expiresIn seconds
   * @param parameters of the request itself
   */
  signedQuery(
    request: Omit<Signable, 'query'>,
    credentials: Credentials,
    timeMs: number,
    expiresIn: number,
    parameters: Query = {},
  ): string {
    const time = this.#timeText(timeMs);
    const names = Object.keys(request.headers).sort();
    const { sessionToken } = credentials;
    const query = encodeQuery({
      ...parameters,
      'X-Amz-Algorithm': algorithm,
      'X-Amz-Credential': this.#credential(credentials, time),
      'X-Amz-Date': time,
      'X-Amz-Expires': String(expiresIn),
      ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
      'X-Amz-SignedHeaders': names.join(';'),
    });
    const signature = this.#signature({ ...request, query }, names, 'UNSIGNED-PAYLOAD', credentials, time);
    return `${query}&X-Amz-Signature=${signature}`;
  }

  #signature(
    { method, path, query, headers }: Signable,
    names: readonly string[],
    bodyHash: string,
    { secretAccessKey }: Credentials,
    time: string,
  ): string {
    let lines = '';
    for (const name of names) lines += `${name}:${canonicalValue(headers[name] ?? '')}\n`;
    const canonical = `${method}\n${path}\n${query}\n${lines}\n${names.join(';')}\n${bodyHash}`;
    const text = `${algorithm}\n${time}\n${this.#scopeText(time)}\n${hash('sha256', canonical)}`;
    return createHmac('sha256', this.#keyOf(secretAccessKey, time.slice(0, 8)))
      .update(text)
      .digest('hex');
  }

  #credential({ accessKeyId }: Credentials, time: string): string {
    return `${accessKeyId}/${this.#scopeText(time)}`;
  }

  #scopeText(time: string): string {
    return `${time.slice(0, 8)}/${this.#scope.region}/${this.#scope.service}/aws4_request`;
  }

  #keyOf(secret: string, date: string): KeyObject {
    if (this.#key?.secret !== secret || this.#key.date !== date) {
      const steps = [date, this.#scope.region, this.#scope.service, 'aws4_request'];
      const bytes = steps.reduce<Buffer>(
        (key, step) => createHmac('sha256', key).update(step).digest(),
        Buffer.from(`AWS4${secret}`),
      );
      // An HMAC takes 2 µs with an object, 13 µs with its bytes.
      this.#key = { secret, date, object: createSecretKey(bytes) };
    }
    return this.#key.object;
  }

  /** As `20130524T000000Z`. */
  #timeText(timeMs: number): string {
    const second = Math.floor(timeMs / 1000);
    if (this.#time?.second !== second) {
      const text = new Date(second * 1000).toISOString().replace(/[:-]|\.\d+/g, '');
      this.#time = { second, text };
    }
    return this.#time.text;
  }
}

function canonicalValue(value: string): string {
  return /^\s|\s\s|\s$/.test(value) ? value.trim().replace(/\s+/g, ' ') : value;
}
