import { resolve } from 'node:path';
import { checkFile } from './files.ts';
import type { Settings } from './settings.ts';

/** The source of an htpasswd file. */
export type HtpasswdSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'content'; readonly content: string }
  /** The ARN of a secret in AWS Secrets Manager. */
  | { readonly kind: 'secret'; readonly arn: string };

/** What clients show to users who are to log in. */
export function readRealm(settings: Settings): string {
  const realm = settings.text('REGISTRY_AUTH_HTPASSWD_REALM') ?? 'Registry Realm';
  if (!/^[ !#-[\]-~]{1,256}$/.test(realm))
    settings.fault(
      'REGISTRY_AUTH_HTPASSWD_REALM: must be 1 to 256 printable ASCII characters without quotes and backslashes',
    );
  return realm;
}

/** The password file of REGISTRY_AUTH_HTPASSWD_…; undefined if there is none. */
export function readHtpasswd(settings: Settings): HtpasswdSource | undefined {
  const path = settings.text('REGISTRY_AUTH_HTPASSWD_PATH');
  const content = settings.lines('REGISTRY_AUTH_HTPASSWD_CONTENT');
  if (path !== undefined && content !== undefined)
    settings.fault(
      'REGISTRY_AUTH_HTPASSWD_CONTENT: REGISTRY_AUTH_HTPASSWD_PATH is set as well; remove one of them',
    );
  if (path !== undefined)
    return /^arn:aws[\w-]*:secretsmanager:/.test(path)
      ? { kind: 'secret', arn: path }
      : { kind: 'file', path: readPasswordPath(settings, path) };
  return content === undefined ? undefined : { kind: 'content', content };
}

/** Debian's configuration file of distribution names a folder, which distribution would fail to read. */
function readPasswordPath(settings: Settings, path: string): string {
  checkFile(
    settings,
    'REGISTRY_AUTH_HTPASSWD_PATH',
    path,
    'set REGISTRY_AUTH_HTPASSWD_PATH to a file, made by stowage htpasswd or htpasswd -B',
  );
  return resolve(path);
}
