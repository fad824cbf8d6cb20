import type { Exchange } from './exchange.ts';

/** Headers of responses that scripts may read, beside those that they always may (Fetch Standard, section 3.2.5). */
const exposed = [
  ...[
    'Accept-Ranges',
    'Content-Range',
    'ETag',
    'Link',
    'Location',
    'Range',
    'Retry-After',
    'WWW-Authenticate',
  ],
  ...['Docker-Content-Digest', 'Docker-Distribution-Api-Version', 'Docker-Upload-UUID', 'X-Request-Id'],
  ...['OCI-Chunk-Min-Length', 'OCI-Filters-Applied', 'OCI-Subject', 'OCI-Tag'],
].join(', ');

/** Headers that scripts may send. */
const accepted = [
  ...['Accept', 'Authorization', 'Content-Range', 'Content-Type'],
  ...['If-Match', 'If-None-Match', 'If-Range', 'Range'],
].join(', ');

/** Seconds that a browser remembers a preflight; more than two hours is too much for some. */
const maxAge = 7200;

/**
 * Lets web pages of some origins read responses (Fetch Standard, "CORS protocol"). Credentials are those that a page sends itself:
 * there are no cookies.
 * @param origins `*` for all
 */
export function cors(origins: readonly string[]): (ctx: Exchange) => void {
  return (ctx) => {
    const origin = ctx.get('origin');
    const isListed = origin !== '*' && origins.includes(origin);
    if (origins.length > 0) ctx.vary('Origin');
    if (origin !== '' && (isListed || origins.includes('*'))) {
      ctx.set('Access-Control-Allow-Origin', isListed ? origin : '*');
      // Passwords that the browser itself knows; never for all origins.
      if (isListed) ctx.set('Access-Control-Allow-Credentials', 'true');
      ctx.set('Access-Control-Expose-Headers', exposed);
      if (ctx.method === 'OPTIONS') {
        ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST, PUT, PATCH, DELETE');
        ctx.set('Access-Control-Allow-Headers', accepted);
        ctx.set('Access-Control-Max-Age', String(maxAge));
      }
    }
  };
}
