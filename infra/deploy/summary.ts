import type { Parameters } from '../stack/parameters.ts';
import type { FirstUser } from './secrets.ts';

/** How to use a registry: its address, and the first login and push. */
export function showUse(url: string, parameters: Parameters, user: FirstUser | undefined): string {
  const { host } = new URL(url);
  const login =
    parameters.auth === 'none' ? [] : [`  docker login ${host} --username ${user?.name ?? 'NAME'}`];
  return [
    `The registry is at ${url}`,
    '',
    ...login,
    // Its layers are small enough for each deployment.
    '  docker pull busybox',
    `  docker tag busybox ${host}/team/app:v1`,
    `  docker push ${host}/team/app:v1`,
    ...(parameters.dataPlane === 'none' ? ['', withoutDataPlane] : []),
  ].join('\n');
}

const withoutDataPlane = `Without a data plane, docker pushes layers up to 4 MiB. For larger ones, add a data plane, such as with
--data-plane instance (docs/deploy/aws.md), or push with a client that sends chunks, such as regctl.`;

/** The password of the first user, which is stored nowhere. */
export function showPassword({ name, password }: FirstUser): string {
  return `User      ${name}
Password  ${password}

It is not shown again: only its bcrypt hash is stored.`;
}
