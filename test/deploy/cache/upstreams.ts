import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { passwordLine } from '../../../lib/commands/htpasswd.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { listen } from '../../servers/listen.ts';
import { serve } from '../../servers/stowage.ts';
import { UserClient } from '../client.ts';
import { bucketSettings } from '../data-plane.ts';
import type { Place } from '../stage.ts';

/** What both serve. */
export const upstreamBucket = 'upstream';
const user = { name: 'robot', password: 'the password of a test' };

/**
 * Upstreams of a stage: two serve the same, of which one redirects to its bucket and one sends all bytes itself, both after a login. Another
 * answers 429.
 */
export interface Upstreams {
  /** Of the stage. */
  readonly settings: Readonly<Record<string, string>>;
  /** The passwords, for the environment of its first deployment. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Pushes to both. */
  readonly client: UserClient;
  /** By which the bucket names the one that redirects. */
  readonly idOfRedirects: string;
  /** Requests that were answered with 429. */
  readonly refused: () => number;
  stop(): Promise<void>;
}

export async function openUpstreams(place: Place): Promise<Upstreams> {
  await place.emulator.aws.s3.send(new CreateBucketCommand({ Bucket: upstreamBucket }));
  const folder = await temporaryFolder('upstreams');
  const users = join(folder.path, 'htpasswd');
  await writeFile(users, `${await passwordLine(user.name, user.password, 4)}\n`);
  const start = async (disabled: string) =>
    await serve(bucketSettings(place, upstreamBucket), {
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_REALM: 'upstream',
      REGISTRY_AUTH_HTPASSWD_PATH: users,
      REGISTRY_STORAGE_REDIRECT_DISABLE: disabled,
    });
  const redirects = await start('false');
  const sends = await start('true');
  let refused = 0;
  const limited = await listen(
    createServer((_, response) => {
      refused += 1;
      response.writeHead(429, { 'retry-after': '1' }).end();
    }),
  );
  const entry = { username: user.name, insecure: true, privateaddresses: true };
  const list = [
    { ...entry, prefix: 'redirects/**', url: `http://${redirects.address}` },
    { ...entry, prefix: 'sends/**', url: `http://${sends.address}` },
    { prefix: 'limited/**', url: limited.url, insecure: true, privateaddresses: true },
  ];
  return {
    settings: { REGISTRY_PROXY_UPSTREAMS: JSON.stringify(list) },
    secrets: {
      REGISTRY_PROXY_UPSTREAMS_REDIRECTS_PASSWORD: user.password,
      REGISTRY_PROXY_UPSTREAMS_SENDS_PASSWORD: user.password,
    },
    client: new UserClient(`http://${sends.address}`, user),
    idOfRedirects: createHash('sha256')
      .update(`http://${redirects.address} ${user.name}`)
      .digest('hex')
      .slice(0, 32),
    refused: () => refused,
    stop: async () => {
      await redirects.stop();
      await sends.stop();
      await limited.stop();
      folder.remove();
    },
  };
}
