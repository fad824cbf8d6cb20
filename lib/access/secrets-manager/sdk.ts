import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { attemptTimeoutMs, maxAttempts, type Retrieval, type SecretValue } from './retrieval.ts';

/** Retrieval by the AWS SDK, with its chain of credentials and its rules of endpoints. */
export class SdkRetrieval implements Retrieval {
  readonly #client: SecretsManagerClient;

  constructor(region: string | undefined) {
    this.#client = new SecretsManagerClient({
      ...(region !== undefined && { region }),
      maxAttempts,
      requestHandler: {
        connectionTimeout: attemptTimeoutMs,
        requestTimeout: attemptTimeoutMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  async retrieve(id: string): Promise<SecretValue> {
    return await this.#client.send(new GetSecretValueCommand({ SecretId: id }));
  }

  close(): void {
    this.#client.destroy();
  }
}
