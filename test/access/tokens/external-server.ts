import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { send, type Reply } from '../../functions/client.ts';
import { temporaryFolder, type Folder } from '../../servers/folder.ts';
import { prefixed, startRegistry, type TestRegistry } from '../policy-server.ts';
import { now, type Json, type Signer } from './forgeries.ts';

/** Settings of REGISTRY_AUTH=token but for its keys. */
export const tokenSettings: Readonly<Record<string, string>> = {
  REGISTRY_AUTH: 'token',
  REGISTRY_AUTH_TOKEN_REALM: 'https://auth.example.com/token',
  REGISTRY_AUTH_TOKEN_SERVICE: 'registry.example.com',
  REGISTRY_AUTH_TOKEN_ISSUER: 'auth.example.com',
};

/** What a token server says of one who may pull team/app. */
export const payload = (): Json => ({
  iss: 'auth.example.com',
  aud: 'registry.example.com',
  sub: 'alice',
  iat: now(),
  exp: now() + 300,
  access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
});

export function newSigner(kid: string): Signer {
  return { alg: 'ES256', kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
}

/** The JSON Web Key Set of some signers. */
export function keySet(...signers: readonly Signer[]): string {
  const keys = signers.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid }));
  return JSON.stringify({ keys });
}

/** Starts registries that trust an external token server, and stops them in the end. */
export class ExternalRegistries {
  readonly #running: TestRegistry[] = [];
  #folder: Folder | undefined;
  #files = 0;

  /** @returns the path of a file with this */
  async file(content: string): Promise<string> {
    this.#folder ??= await temporaryFolder('token');
    const path = join(this.#folder.path, `keys-${++this.#files}`);
    await writeFile(path, content);
    return path;
  }

  /** @param more of the settings REGISTRY_AUTH_TOKEN_… @returns its URL */
  async start(more: Readonly<Record<string, string>>): Promise<string> {
    const named = prefixed('REGISTRY_AUTH_TOKEN_', more);
    const one = await startRegistry({ settings: { ...tokenSettings, ...named } });
    this.#running.push(one);
    return one.url;
  }

  async stop(): Promise<void> {
    for (const one of this.#running) await one.stop();
    this.#folder?.remove();
  }
}

/** Lists tags with a token, which is 404 where that may pull and 401 elsewhere. */
export async function listTags(base: string, token: string, path = '/v2/team/app/tags/list'): Promise<Reply> {
  return await send(base, { method: 'GET', path, headers: { authorization: `Bearer ${token}` } });
}
