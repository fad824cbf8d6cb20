import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import { testCertificate, testKey } from './certificate.ts';

/** A key of an issuer, and what is published of it. */
export interface IssuerKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly published: JWK;
}

export async function issuerKey(kid: string, alg = 'RS256'): Promise<IssuerKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, published: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A provider of OpenID Connect, over https with the tests' certificate, which does as it is told. */
export interface Issuer {
  /** Its name and URL. */
  readonly url: string;
  /** What it publishes. */
  keys: IssuerKey[];
  /** What it says in its discovery document beside, or instead of, what is right. */
  discovery: Record<string, unknown>;
  /** Answers instead of it, where there is one. */
  discoveryAnswer: Answer | undefined;
  keysAnswer: Answer | undefined;
  /** The paths that were asked for. */
  readonly asked: string[];
  /** A token of a job, signed with the first key unless another is given. Ten minutes long unless `claims` say otherwise. */
  token(claims: JWTPayload, options?: { key?: IssuerKey; header?: Record<string, unknown> }): Promise<string>;
  stop(): Promise<void>;
}

/** @param path that its URL has, as those of Kubernetes clusters in clouds do */
export async function startIssuer(path = ''): Promise<Issuer> {
  const asked: string[] = [];
  const server = createServer({ cert: testCertificate, key: testKey }, (request, response) => {
    asked.push(request.url ?? '');
    if (request.url === `${path}/.well-known/openid-configuration`) {
      if (issuer.discoveryAnswer) issuer.discoveryAnswer(request, response);
      else json({ issuer: url, jwks_uri: `${url}/keys`, ...issuer.discovery })(request, response);
    } else if (request.url === `${path}/keys`) {
      if (issuer.keysAnswer) issuer.keysAnswer(request, response);
      else json({ keys: issuer.keys.map(({ published }) => published) })(request, response);
    } else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://localhost:${(server.address() as AddressInfo).port}${path}`;
  const issuer: Issuer = {
    url,
    keys: [await issuerKey('first')],
    discovery: {},
    discoveryAnswer: undefined,
    keysAnswer: undefined,
    asked,
    token: async (claims, { key = issuer.keys[0], header = {} } = {}) => {
      if (key === undefined) throw new Error('the issuer has no key');
      const now = Math.floor(Date.now() / 1000);
      return await new SignJWT({ iss: url, iat: now, nbf: now, exp: now + 600, ...claims })
        .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header })
        .sign(key.privateKey);
    },
    stop: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
    },
  };
  return issuer;
}

export function json(value: unknown): Answer {
  return (_, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  };
}
