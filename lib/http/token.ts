import type { IncomingMessage } from 'node:http';
import { basicCredentials } from '../access/basic.ts';
import { clientKey } from '../access/client-key.ts';
import type { Login, TokenRequest } from '../access/token-service.ts';
import { RegistryError } from '../protocol/errors.ts';
import { readOnce } from '../protocol/queries.ts';
import { requestScope } from '../request-scope.ts';
import type { Handlers, RequestContext } from './app.ts';
import { bodyOf } from './body.ts';
import { sendJson } from './send.ts';

type TokenContext = RequestContext<'token'>;

/** Bytes of a form. A job's token has some kilobytes. */
const maxForm = 64 * 1024;

/** `/token`: the token service. */
export const token: Handlers<'token'> = {
  /** "Token Authentication Specification": credentials in `Authorization: Basic`, everything else in the query. */
  async GET(call) {
    await answer(call, () => {
      const { ctx, query } = call;
      const basic = basicCredentials(ctx.req.headers.authorization);
      return {
        login: basic === undefined ? { kind: 'anonymous' } : { kind: 'password', ...basic },
        // Docker sends one parameter for each scope; others separate them by spaces.
        scopes: query.getAll('scope').flatMap(words),
        service: readOnce(query, 'service') ?? undefined,
        offline: readOnce(query, 'offline_token') === 'true',
      };
    });
  },

  /** "OAuth2 Token Authentication": everything in a form. */
  async POST(call) {
    await answer(call, async () => {
      const form = await readForm(call);
      return {
        login: loginOf(form),
        scopes: form.getAll('scope').flatMap(words),
        service: readOnce(form, 'service') ?? undefined,
        offline: readOnce(form, 'access_type') === 'offline',
      };
    });
  },
};

type Asked = Omit<TokenRequest, 'address'>;

/** @param read is not called where this registry issues no tokens */
async function answer({ ctx, tokens }: TokenContext, read: () => Asked | Promise<Asked>): Promise<void> {
  if (tokens === undefined) throw new RegistryError('ROUTE_UNKNOWN');
  const service = await tokens().catch((cause: unknown) => {
    const message = 'the token service cannot start; the log of the registry says why';
    throw cause instanceof RegistryError ? cause : new RegistryError('UNAVAILABLE', message, [], { cause });
  });
  try {
    sendJson(ctx, await service.issue({ ...(await read()), address: requestScope()?.client.address }));
  } catch (error) {
    // RFC 9110, section 15.5.2.
    if (error instanceof RegistryError && error.failure === 'UNAUTHORIZED')
      ctx.set('WWW-Authenticate', 'Basic realm="stowage", charset="UTF-8"');
    throw error;
  }
  // RFC 6749, section 5.1.
  ctx.set('Cache-Control', 'no-store');
}

function words(text: string): string[] {
  return text.split(' ').filter((word) => word !== '');
}

function loginOf(form: URLSearchParams): Login {
  const grant = readOnce(form, 'grant_type');
  const required = (name: string) => {
    const value = readOnce(form, name);
    if (value === null)
      throw new RegistryError('QUERY_INVALID', `the form must have ${name} for grant_type=${grant ?? ''}`);
    return value;
  };
  if (grant === 'refresh_token') return { kind: 'refresh', token: required('refresh_token') };
  if (grant === 'password')
    return { kind: 'password', user: required('username'), password: required('password') };
  throw new RegistryError('QUERY_INVALID', 'grant_type must be password or refresh_token');
}

async function readForm({ ctx, limits, forms }: TokenContext): Promise<URLSearchParams> {
  const { req } = ctx;
  if (!isForm(req))
    throw new RegistryError('QUERY_INVALID', 'the body must be of type application/x-www-form-urlencoded');
  const client = clientKey(requestScope()?.client.address);
  return await forms.run(client, async () => {
    const pieces: Uint8Array[] = [];
    let size = 0;
    // A form is smaller than what this rate asks for, so it has ten seconds.
    for await (const piece of bodyOf(req, limits.contendedBodyRate)) {
      size += piece.byteLength;
      if (size > maxForm) throw new RegistryError('SIZE_INVALID', `the form has more than ${maxForm} bytes`);
      pieces.push(piece);
    }
    return new URLSearchParams(Buffer.concat(pieces).toString('utf8'));
  });
}

function isForm({ headers }: IncomingMessage): boolean {
  return (
    (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ===
    'application/x-www-form-urlencoded'
  );
}
