import type { AccessClient } from '../clients/access.ts';
import { TAG, writeImage } from '../clients/images.ts';
import type { GoClient, Tool } from './tool.ts';

/** What it does without access control is what skopeo does, of whose libraries it is made. */
export const podman: GoClient<'podman'> = {
  name: 'podman',
  target: { installed: 'podman' },
  flows: () => ({}),
};

/** podman with two images. An image is told from others by its id, which is the digest of its config. Needs root. */
export async function podmanAccess(tool: Tool): Promise<AccessClient> {
  await tool.write('policy.json', '{"default":[{"type":"insecureAcceptAnything"}]}');
  const place = [
    ...['--root', tool.path('root'), '--runroot', tool.path('run'), '--tmpdir', tool.path('tmp')],
    // Nothing of this machine's is needed, and no container is run.
    ...['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none'],
  ];
  const run = async (...args: string[]) => await tool.run(...place, ...args);
  const trusting = ['--tls-verify=false', '--signature-policy', tool.path('policy.json')];
  const idOf = async (reference: string) =>
    (await run('image', 'inspect', '--format', '{{.Id}}', reference)).text;
  for (const image of ['first', 'second']) await writeImage(await tool.newFolder(image), [100_000]);
  return {
    showsRules: true,
    expiry: { after: 'PATCH' },
    login: async (host, user, password) => {
      await tool.write('password', password);
      const options = ['--tls-verify=false', '--username', user, '--password-stdin'];
      await tool.runWith({ input: 'password' }, ...place, 'login', ...options, host);
    },
    logout: async (host) => await run('logout', host),
    push: async (reference, image = 'first') => {
      const { text } = await run('pull', '--quiet', ...trusting.slice(1), `oci:${image}:${TAG}`);
      await run('push', '--quiet', ...trusting, text, `docker://${reference}`);
      return text;
    },
    pull: async (reference) => {
      await run('rmi', '--all', '--force');
      await run('pull', '--quiet', ...trusting, reference);
      return await idOf(reference);
    },
  };
}
