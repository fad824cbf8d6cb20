import { setTimeout as delay } from 'node:timers/promises';
import { openAgent } from '../../storage/s3/client/agent.ts';
import type { Connections } from '../../storage/s3/client/connections.ts';
import { environmentCredentials } from '../../storage/s3/client/credentials.ts';
import { plainOrigin } from '../../storage/s3/client/endpoint.ts';
import { connectionError, S3Error } from '../../storage/s3/client/errors.ts';
import { Exchange } from '../../storage/s3/client/exchange.ts';
import { Retries } from '../../storage/s3/client/retries.ts';
import { Signer, type Credentials } from '../../storage/s3/client/signature.ts';
import { attemptTimeoutMs, maxAttempts, type Retrieval, type SecretValue } from './retrieval.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Bytes of a response: a secret has 64 KiB at most. */
const maxBytes = 1024 ** 2;

/**
 * Retrieval without the SDK, by requests that are signed and sent as those to a bucket.
 * @param region the environment's by default
 * @returns undefined where the credentials or the endpoint follow only from the SDK's rules
 */
export function signedRetrieval(region: string | undefined, environment: Environment): Retrieval | undefined {
  const credentials = environmentCredentials(environment);
  const where = region ?? environment['AWS_REGION'] ?? '';
  const origin = where === '' ? undefined : originOf(where, environment);
  if (credentials === undefined || origin === undefined) return undefined;
  return new SignedRetrieval(origin, where, credentials);
}

/** "Service-specific endpoints" in the AWS SDKs and Tools Reference Guide. */
function originOf(region: string, environment: Environment): string | undefined {
  const ofService = environment['AWS_ENDPOINT_URL_SECRETS_MANAGER'] ?? '';
  const configured = ofService === '' ? (environment['AWS_ENDPOINT_URL'] ?? '') : ofService;
  const isIgnored = (environment['AWS_IGNORE_CONFIGURED_ENDPOINT_URLS'] ?? '') !== '';
  if (configured === '' || isIgnored)
    return plainOrigin('secretsmanager', 'SECRETS_MANAGER', region, environment);
  const url = URL.canParse(configured) ? new URL(configured) : undefined;
  return url?.pathname === '/' ? url.origin : undefined;
}

/** GetSecretValue of the Secrets Manager API Reference, in AWS JSON 1.1. */
class SignedRetrieval implements Retrieval {
  readonly #host: string;
  readonly #credentials: Credentials;
  readonly #signer: Signer;
  readonly #connections: Connections;
  readonly #retries = new Retries();

  constructor(origin: string, region: string, credentials: Credentials) {
    this.#host = new URL(origin).host;
    this.#credentials = credentials;
    this.#signer = new Signer({ region, service: 'secretsmanager' });
    this.#connections = openAgent(origin, false);
  }

  async retrieve(id: string): Promise<SecretValue> {
    for (let attempts = 1; ; attempts++)
      try {
        return await this.#attempt(Buffer.from(JSON.stringify({ SecretId: id })));
      } catch (cause) {
        const error = connectionError(cause);
        const retry = attempts < maxAttempts ? this.#retries.take(error, attempts) : undefined;
        if (retry === undefined)
          throw Object.assign(new Error(error.message, { cause: error }), { name: error.code });
        await delay(retry.delayMs);
      }
  }

  close(): void {
    this.#connections.destroy();
  }

  async #attempt(body: Buffer): Promise<SecretValue> {
    const headers = {
      host: this.#host,
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'secretsmanager.GetSecretValue',
    };
    const request = { method: 'POST', path: '/' } as const;
    const signed = this.#signer.signedHeaders(
      { ...request, query: '', headers },
      body,
      this.#credentials,
      Date.now(),
    );
    const exchange = new Exchange({
      streams: false,
      maxBytes,
      timeoutMs: attemptTimeoutMs,
      signal: undefined,
      observeEnd: undefined,
    });
    this.#connections.dispatch({ ...request, headers: signed, body, streams: false }, exchange);
    const response = await exchange.response;
    return valueOf(response.status, response.headers, (response.body as Buffer).toString());
  }
}

function valueOf(status: number, headers: S3Error['details']['headers'], text: string): SecretValue {
  const { __type: type, ...content } = parse(text);
  if (status === 200 && typeof content['VersionId'] === 'string') {
    const { VersionId, SecretString, SecretBinary } = content as Partial<Record<string, string>>;
    return {
      VersionId,
      SecretString,
      SecretBinary: SecretBinary === undefined ? undefined : Buffer.from(SecretBinary, 'base64'),
    };
  }
  // As `ResourceNotFoundException`, or with a namespace before it.
  const name = typeof type === 'string' ? type.replace(/^.*#/, '') : `HTTP ${status}`;
  throw new S3Error(name, '', { status, headers });
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
