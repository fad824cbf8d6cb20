import {
  GetSecretValueCommand,
  SecretsManagerClient,
  type GetSecretValueCommandOutput,
} from '@aws-sdk/client-secrets-manager';

/** Milliseconds for each of two attempts. */
const attemptTimeoutMs = 2_000;

/** Retrieves secrets of AWS Secrets Manager. */
export class SecretsManager {
  readonly #client: SecretsManagerClient;

  /** @param region of the secrets; the process's own by default */
  constructor(region?: string) {
    this.#client = new SecretsManagerClient({
      ...(region !== undefined && { region }),
      maxAttempts: 2,
      requestHandler: {
        connectionTimeout: attemptTimeoutMs,
        requestTimeout: attemptTimeoutMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  /**
   * @param id an ARN or a name
   * @throws Error with only the name of an AWS error, since its text may quote the request
   */
  async retrieve(id: string): Promise<GetSecretValueCommandOutput> {
    try {
      return await this.#client.send(new GetSecretValueCommand({ SecretId: id }));
    } catch (error) {
      const why = error instanceof Error ? error.name : 'unknown error';
      throw new Error(`the secret ${id} cannot be retrieved (${why}); ${remedyOf(why)}`, { cause: error });
    }
  }

  close(): void {
    this.#client.destroy();
  }
}

function remedyOf(error: string): string {
  return error === 'ResourceNotFoundException'
    ? 'this account has none of this name in this region'
    : 'the role of this registry needs secretsmanager:GetSecretValue on it';
}
