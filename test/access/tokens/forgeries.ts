import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { testCertificate, testKey } from '../../servers/certificate.ts';

/*
 * Tokens that no registry may accept, made of one that it does.
 */

export type Json = Readonly<Record<string, unknown>>;

/** How real tokens are signed. */
export interface Signer {
  readonly alg: 'EdDSA' | 'ES256';
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JWS of any header and payload (RFC 7515, section 7.1). */
export function jws(header: Json, payload: unknown, signature: (input: string) => Buffer): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${signature(input).toString('base64url')}`;
}

/** Signs as a header says that it does. */
export function signature(alg: string, key: KeyObject | string): (input: string) => Buffer {
  const hash = alg === 'EdDSA' ? null : 'sha256';
  return (input) => sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' } as never);
}

/** A token as the real issuer signs it. */
export function genuine({ alg, kid, privateKey }: Signer, payload: Json, header: Json = {}): string {
  return jws({ alg, kid, typ: 'JWT', ...header }, payload, signature(alg, privateKey));
}

/** Seconds since 1970. */
export const now = (): number => Math.floor(Date.now() / 1000);

const none = () => Buffer.alloc(0);

/**
 * Tokens by what is wrong with their signature.
 * @param payload of a token that is accepted
 * @param trap a URL that must never be asked
 */
export function wronglySigned(signer: Signer, payload: Json, trap: string): Readonly<Record<string, string>> {
  const { alg, kid, publicKey } = signer;
  const type = alg === 'EdDSA' ? 'ed25519' : 'ec';
  const mallory = generateKeyPairSync(type as 'ec', { namedCurve: 'P-256' });
  const jwk = { ...mallory.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
  const byMallory = (header: Json) =>
    jws({ alg, typ: 'JWT', ...header }, payload, signature(alg, mallory.privateKey));
  const x5c = [testCertificate.replace(/-----[A-Z ]+-----|\n/g, '')];
  const hmac = (secret: string | Buffer, header: Json = {}) =>
    jws({ alg: 'HS256', ...header }, payload, (input) => createHmac('sha256', secret).update(input).digest());
  const [head = '', body = '', proof = ''] = genuine(signer, payload).split('.');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return {
    'a key of its own, under the name of the real one': byMallory({ kid }),
    'a key of its own': byMallory({}),
    'an unknown key': byMallory({ kid: 'unknown' }),
    'a jwk in its header': byMallory({ jwk }),
    'a jwk in its header, under the name of the real key': byMallory({ jwk, kid }),
    'an x5c in its header': jws({ alg: 'ES256', x5c }, payload, signature('ES256', testKey)),
    'an x5c in its header, under the name of the real key': jws(
      { alg: 'ES256', x5c, kid },
      payload,
      signature('ES256', testKey),
    ),
    'a jku in its header': byMallory({ jku: trap, kid }),
    'an x5u in its header': byMallory({ x5u: trap, kid }),
    'a kid that is a path': byMallory({ kid: '../../../../dev/null' }),
    'a kid that is no text': byMallory({ kid: { toString: kid } }),
    'alg=none': jws({ alg: 'none', kid }, payload, none),
    'alg=None': jws({ alg: 'None', kid }, payload, none),
    'alg=none and a real signature': `${encode({ alg: 'none', kid })}.${body}.${proof}`,
    'no alg': jws({ kid }, payload, none),
    'HS256 and the public key in PEM as its secret': hmac(publicKey.export({ type: 'spki', format: 'pem' }), {
      kid,
    }),
    'HS256 and the public key in DER as its secret': hmac(publicKey.export({ type: 'spki', format: 'der' })),
    'HS256 and the bytes of the public key as its secret': hmac(Buffer.from(x, 'base64url'), { kid }),
    'HS256 and the text of the public key as its secret': hmac(x, { kid }),
    'HS256 and an empty secret': hmac('', { kid }),
    'no signature': `${head}.${body}.`,
    'half a signature': `${head}.${body}.${proof.slice(0, 40)}`,
    'a signature of zeros': `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`,
    'another payload': `${head}.${encode({ ...payload, exp: now() + 9999 })}.${proof}`,
    'another header': `${encode({ alg, kid, typ: 'JWT', a: 1 })}.${body}.${proof}`,
    'an extension that must be understood': genuine(signer, payload, { crit: ['own'], own: 1 }),
    'a payload that is not encoded': genuine(signer, payload, { crit: ['b64'], b64: false }),
    'only two parts': `${head}.${body}`,
    'four parts': `${head}.${body}.${proof}.${proof}`,
    'nothing in it': '..',
    'no JSON in it': `${Buffer.from('{').toString('base64url')}.${body}.${proof}`,
    'much of nothing': `${'A'.repeat(12_000)}.${body}.${proof}`,
  };
}

/** Payloads by what is wrong with their claims, for a token with a good signature. */
export function wrongClaims(payload: Json): Readonly<Record<string, Json>> {
  const { iss, aud, exp, ...rest } = payload;
  const [issuer, audience] = [String(iss), String(aud)];
  const but = (changes: Json): Json => ({ ...payload, ...changes });
  const access = (value: unknown) => but({ access: value });
  return {
    'no issuer': { aud, exp, ...rest },
    'another issuer': but({ iss: 'mallory' }),
    'an issuer that begins alike': but({ iss: `${issuer}.example.com` }),
    'an issuer in capitals': but({ iss: issuer.toUpperCase() }),
    'a list of issuers': but({ iss: [issuer, 'mallory'] }),
    'no audience': { iss, exp, ...rest },
    'another audience': but({ aud: 'mallory' }),
    'a list of other audiences': but({ aud: ['mallory', `${audience}2`] }),
    'an audience that begins alike': but({ aud: audience.slice(0, -1) }),
    'an empty audience': but({ aud: '' }),
    'no end': { iss, aud, ...rest },
    'an end that is a text': but({ exp: String(exp) }),
    'ended 70 s ago': but({ exp: now() - 70 }),
    'begun in 70 s': but({ nbf: now() + 70 }),
    'a begin that is a text': but({ nbf: '0' }),
    'an access that is a text': access('repository:team/app:pull'),
    'an access that is an object': access({ type: 'repository', name: 'team/app', actions: ['pull'] }),
    'an access of texts': access(['repository:team/app:pull']),
    'an access without actions': access([{ type: 'repository', name: 'team/app' }]),
    'an access whose actions are a text': access([{ type: 'repository', name: 'team/app', actions: 'pull' }]),
    'an access whose actions are numbers': access([{ type: 'repository', name: 'team/app', actions: [1] }]),
    'an access whose name is a list': access([{ type: 'repository', name: ['team/app'], actions: ['*'] }]),
    'an access with null in it': access([null]),
  };
}

/** Payloads that are accepted, though not by a strict clock. */
export function withinLeeway(payload: Json): Readonly<Record<string, Json>> {
  return {
    'ended 50 s ago': { ...payload, exp: now() - 50 },
    'begun in 50 s': { ...payload, nbf: now() + 50 },
    'with the registry among several audiences': { ...payload, aud: ['other', payload['aud']] },
  };
}

/** Accesses that do not let anybody pull team/app. */
export const otherAccess: readonly Json[] = [
  { type: 'repository', name: 'team/other', actions: ['*'] },
  { type: 'repository', name: 'team', actions: ['*'] },
  { type: 'repository', name: 'team/app/more', actions: ['*'] },
  { type: 'repository', name: 'team/ap', actions: ['*'] },
  { type: 'repository', name: 'team/*', actions: ['*'] },
  { type: 'repository', name: '*', actions: ['*'] },
  { type: 'repository', name: '', actions: ['*'] },
  { type: 'repository', name: 'TEAM/APP', actions: ['*'] },
  { type: 'repository', name: '/team/app', actions: ['*'] },
  { type: 'registry', name: 'team/app', actions: ['*'] },
  { type: 'registry', name: 'catalog', actions: ['*'] },
  { type: 'Repository', name: 'team/app', actions: ['*'] },
  { type: 'repository', name: 'team/app', actions: [] },
  { type: 'repository', name: 'team/app', actions: ['push', 'delete', 'Pull', 'pull,push', ''] },
];
