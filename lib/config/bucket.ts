import { quoted, type Settings } from './settings.ts';

/** S3's "Bucket naming rules", plus capitals, which other servers accept. @returns an empty name after a fault */
export function readBucket(settings: Settings, setting: string): string {
  const bucket = settings.text(setting);
  if (bucket === undefined) settings.fault(`${setting}: missing; name the bucket`);
  else if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/.test(bucket))
    settings.fault(`${setting}: ${quoted(bucket)} is not a valid bucket name`);
  return bucket ?? '';
}

/** The base URL of a server: scheme, host and port. @param secure whether it is https if the setting has no scheme */
export function readEndpoint(settings: Settings, setting: string, secure: boolean): string | undefined {
  const text = settings.text(setting);
  if (text === undefined) return undefined;
  const value = /^https?:\/\//i.test(text) ? text : `${secure ? 'https' : 'http'}://${text}`;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.href !== `${url?.origin ?? ''}/`)
    settings.fault(
      `${setting}: not the base URL of a server, such as https://storage.example.com:9000, without the bucket`,
    );
  return url?.origin;
}

/** As in distribution, leading and trailing slashes are ignored. */
export function readRoot(settings: Settings, setting: string): string {
  const root = (settings.text(setting) ?? '').replace(/^\/+|\/+$/g, '');
  if (root !== '' && root.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    settings.fault(`${setting}: must not have empty, "." or ".." segments`);
  if (Buffer.byteLength(root) > 256)
    settings.fault(`${setting}: longer than 256 bytes, the most that fits into keys`);
  return root;
}
