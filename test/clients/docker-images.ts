import assert from 'node:assert/strict';
import type { Dockerd } from '../servers/dockerd.ts';

/** The id of an image that a daemon has, which is the digest of its config. */
export async function idOf(docker: Dockerd['docker'], reference: string): Promise<string> {
  return (await docker('image', 'inspect', '--format', '{{.Id}}', reference)).text;
}

/** Removes every image, and with them the layers, so that a pull has to fetch all. */
export async function forgetAll(docker: Dockerd['docker']): Promise<void> {
  const { text } = await docker('images', '--all', '--quiet', '--no-trunc');
  await docker('rmi', '--force', ...new Set(text.split('\n')));
  assert.equal((await docker('images', '--all', '--quiet')).text, '');
}
