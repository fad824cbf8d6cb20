import type { Settings } from './settings.ts';

/*
 * Settings that a bucket has wherever it is.
 */

/**
 * The rules of S3 ("Bucket naming rules" in its User Guide), but for capitals, which other servers take. Empty when it is
 * wrong.
 */
export function readBucket(settings: Settings, setting: string): string {
  const bucket = settings.text(setting);
  if (bucket === undefined) settings.fault(`${setting}: missing; name the bucket`);
  else if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/.test(bucket))
    settings.fault(`${setting}: ${JSON.stringify(bucket)} cannot be the name of a bucket`);
  return bucket ?? '';
}

/** How a server is reached. */
export interface Endpoint {
  /** Scheme, host and port; undefined when none is named. */
  readonly endpoint: string | undefined;
  readonly secure: boolean;
}

/**
 * The base URL in `_REGIONENDPOINT`, with or without its scheme; `_SECURE` decides where it has none.
 * @param secureUnlessSaid whether it is https where `_SECURE` is not given
 */
export function readEndpoint(settings: Settings, prefix: string, secureUnlessSaid: boolean): Endpoint {
  const secure = settings.flag(`${prefix}SECURE`, secureUnlessSaid);
  const setting = `${prefix}REGIONENDPOINT`;
  const text = settings.text(setting);
  if (text === undefined) return { endpoint: undefined, secure };
  const value = /^https?:\/\//i.test(text) ? text : `${secure ? 'https' : 'http'}://${text}`;
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.href !== `${url?.origin ?? ''}/`)
    settings.fault(
      `${setting}: not the base URL of a server, such as https://storage.example.com:9000, without the bucket`,
    );
  return { endpoint: url?.origin, secure };
}

/** As distribution has it: slashes at its ends do not count. */
export function readRoot(settings: Settings, setting: string): string {
  const root = (settings.text(setting) ?? '').replace(/^\/+|\/+$/g, '');
  if (root !== '' && root.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    settings.fault(`${setting}: ${JSON.stringify(root)} must not have empty, "." or ".." segments`);
  if (Buffer.byteLength(root) > 256)
    settings.fault(`${setting}: longer than 256 bytes; keys have room for no more`);
  return root;
}
