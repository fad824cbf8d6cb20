import type { Retrieval, SecretValue } from './retrieval.ts';
import { signedRetrieval } from './signed.ts';

// eslint-disable-next-line no-restricted-syntax -- the AWS SDK's own variables, which it reads here as well
const environment = process.env;

/** Retrieves secrets of AWS Secrets Manager. */
export class SecretsManager {
  readonly #region: string | undefined;
  #retrieval: Promise<Retrieval> | undefined;

  /** @param region of the secrets; the process's own by default */
  constructor(region?: string) {
    this.#region = region;
  }

  /**
   * @param id an ARN or a name
   * @throws Error with only the name of an AWS error, since its text may quote the request
   */
  async retrieve(id: string): Promise<SecretValue> {
    try {
      this.#retrieval ??= open(this.#region);
      return await (await this.#retrieval).retrieve(id);
    } catch (error) {
      const why = error instanceof Error ? error.name : 'unknown error';
      throw new Error(`the secret ${id} cannot be retrieved (${why}); ${remedyOf(why)}`, { cause: error });
    }
  }

  close(): void {
    void this.#retrieval?.then((retrieval) => {
      retrieval.close();
    });
  }
}

/** The SDK is loaded only where it is needed, since that takes 45 ms of a processor. */
async function open(region: string | undefined): Promise<Retrieval> {
  return signedRetrieval(region, environment) ?? new (await import('./sdk.ts')).SdkRetrieval(region);
}

function remedyOf(error: string): string {
  return error === 'ResourceNotFoundException'
    ? 'this account has none of this name in this region'
    : 'the role of this registry needs secretsmanager:GetSecretValue on it';
}
