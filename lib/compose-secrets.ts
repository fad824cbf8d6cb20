import { SecretsManager } from './access/secrets-manager/secrets-manager.ts';
import type { RetrievedSecret } from './config/secrets.ts';

/**
 * Retrieves secrets of this process's region. This is not done by @middy/secrets-manager: its last release belongs to another
 * version of middy, its errors do not name the secret, it takes a text that is not JSON for a value, and the daily jobs do not
 * use middy.
 */
export async function retrieveSecrets(ids: readonly string[]): Promise<readonly RetrievedSecret[]> {
  const secrets = new SecretsManager();
  const retrieved = await Promise.all(ids.map(async (id) => await retrieve(secrets, id)));
  secrets.close();
  return retrieved;
}

async function retrieve(secrets: SecretsManager, id: string): Promise<RetrievedSecret> {
  try {
    const { SecretString = '' } = await secrets.retrieve(id);
    return { id, text: SecretString };
  } catch (error) {
    return { id, fault: (error as Error).message };
  }
}
