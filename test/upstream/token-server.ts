import { createServer } from 'node:http';
import { basic } from '../access/policy-registry.ts';
import { keySet, newSigner } from '../access/tokens/external-server.ts';
import { genuine, now } from '../access/tokens/forgeries.ts';
import { listen } from '../servers/listen.ts';

/** A token server of its own, as distribution needs one: it lets one user pull. */
export interface TokenServer {
  readonly issuer: string;
  readonly service: string;
  /** Its realm. */
  readonly url: string;
  /** A JSON Web Key Set. */
  readonly keys: string;
  stop(): Promise<void>;
}

/** @param user with the password of tests */
export async function tokenServer(user: string): Promise<TokenServer> {
  const signer = newSigner('key-1');
  const [issuer, service] = ['auth.example.com', 'registry.example.com'];
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://localhost');
    const isUser = request.headers.authorization === basic(user)['authorization'];
    const [type, name] = (searchParams.get('scope') ?? '').split(':');
    if (!isUser || searchParams.get('service') !== service) response.writeHead(401).end();
    else {
      const claims = { iss: issuer, aud: service, sub: user, iat: now(), nbf: now(), exp: now() + 300 };
      const access = name === undefined ? [] : [{ type, name, actions: ['pull'] }];
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ token: genuine(signer, { ...claims, access }) }));
    }
  });
  const listening = await listen(server);
  return { ...listening, issuer, service, url: `${listening.url}/token`, keys: keySet(signer) };
}
