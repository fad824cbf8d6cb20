import { SecretsManager } from '../secrets-manager/secrets-manager.ts';
import { decode, type Reader } from './reader.ts';

/** Milliseconds. Each retrieval costs money, so changes may take minutes. */
const defaultIntervalMs = 5 * 60_000;

/** A secret of AWS Secrets Manager with the text of a password file. */
export class SecretReader implements Reader {
  readonly name: string;
  readonly intervalMs: number;
  readonly #arn: string;
  readonly #secrets: SecretsManager;
  #version: string | undefined;

  constructor(arn: string, intervalMs = defaultIntervalMs) {
    const [, , , region = ''] = arn.split(':');
    this.#arn = arn;
    this.name = `the secret ${arn}`;
    this.intervalMs = intervalMs;
    this.#secrets = new SecretsManager(region);
  }

  async read(): Promise<string | undefined> {
    const { VersionId, SecretString, SecretBinary } = await this.#retrieve();
    if (VersionId !== undefined && VersionId === this.#version) return undefined;
    const text = SecretString ?? (SecretBinary && decode(SecretBinary, this.name));
    if (text === undefined) throw new Error(`${this.name} is empty; put the lines of a password file there`);
    this.#version = VersionId;
    return text;
  }

  async #retrieve() {
    try {
      return await this.#secrets.retrieve(this.#arn);
    } catch (error) {
      this.#version = undefined;
      throw error;
    }
  }
}
