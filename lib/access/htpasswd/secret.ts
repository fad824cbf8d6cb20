import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { decode, type Reader } from './reader.ts';

/** Milliseconds. Each retrieval costs money, so changes may take minutes. */
const defaultIntervalMs = 5 * 60_000;

/** Milliseconds for each of two attempts. */
const attemptTimeoutMs = 2_000;

/** A secret of AWS Secrets Manager with the text of a password file. */
export class SecretReader implements Reader {
  readonly name: string;
  readonly intervalMs: number;
  readonly #arn: string;
  readonly #client: SecretsManagerClient;
  #version: string | undefined;

  constructor(arn: string, intervalMs = defaultIntervalMs) {
    const [, , , region = ''] = arn.split(':');
    this.#arn = arn;
    this.name = `the secret ${arn}`;
    this.intervalMs = intervalMs;
    this.#client = new SecretsManagerClient({
      region,
      maxAttempts: 2,
      requestHandler: {
        connectionTimeout: attemptTimeoutMs,
        requestTimeout: attemptTimeoutMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  async read(): Promise<string | undefined> {
    const { VersionId, SecretString, SecretBinary } = await this.#retrieve();
    if (VersionId !== undefined && VersionId === this.#version) return undefined;
    const text = SecretString ?? (SecretBinary && decode(SecretBinary, this.name));
    if (text === undefined) throw new Error(`${this.name} is empty; put the lines of a password file there`);
    this.#version = VersionId;
    return text;
  }

  /** The message has only the name of an AWS error, since its text may quote the request. */
  async #retrieve() {
    try {
      return await this.#client.send(new GetSecretValueCommand({ SecretId: this.#arn }));
    } catch (error) {
      this.#version = undefined;
      const why = error instanceof Error ? error.name : 'unknown error';
      throw new Error(
        `${this.name} cannot be retrieved (${why}); the role of this registry needs secretsmanager:GetSecretValue on it`,
        { cause: error },
      );
    }
  }
}
