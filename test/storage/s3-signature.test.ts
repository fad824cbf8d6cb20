/**
 * The examples of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" and of
 * "Authenticating Requests: Using Query Parameters" in the Amazon S3 API Reference
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and sigv4-query-string-auth.html).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Signer } from '../../lib/storage/s3/client/signature.ts';
import { encodeQuery, escapeKey, escapeValue } from '../../lib/storage/s3/client/uri.ts';

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const time = Date.UTC(2013, 4, 24);
const host = 'examplebucket.s3.amazonaws.com';

const newSigner = () => new Signer({ region: 'us-east-1', service: 's3' });

describe('signatures of S3', () => {
  const examples = [
    {
      name: 'GET Object',
      request: { method: 'GET', path: '/test.txt', query: '', headers: { host, range: 'bytes=0-9' } },
      signed: 'host;range;x-amz-content-sha256;x-amz-date',
      signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    },
    {
      name: 'PUT Object',
      request: {
        method: 'PUT',
        path: `/${escapeKey('test$file.text')}`,
        query: '',
        headers: {
          host,
          date: 'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        },
      },
      body: 'Welcome to Amazon S3.',
      signed: 'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
      signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    },
    {
      name: 'GET Bucket Lifecycle',
      request: { method: 'GET', path: '/', query: encodeQuery({ lifecycle: '' }), headers: { host } },
      signed: 'host;x-amz-content-sha256;x-amz-date',
      signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    },
    {
      name: 'Get Bucket (List Objects)',
      request: {
        method: 'GET',
        path: '/',
        query: encodeQuery({ prefix: 'J', 'max-keys': '2' }),
        headers: { host },
      },
      signed: 'host;x-amz-content-sha256;x-amz-date',
      signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    },
  ];
  for (const { name, request, body, signed, signature } of examples)
    it(`are those of AWS's example of ${name}`, () => {
      const bytes = body === undefined ? undefined : Buffer.from(body);
      const { authorization } = newSigner().signedHeaders(request, bytes, credentials, time);
      assert.equal(
        authorization,
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
          `SignedHeaders=${signed},Signature=${signature}`,
      );
    });

  it("in a URL are those of AWS's example", () => {
    const request = { method: 'GET', path: '/test.txt', headers: { host } };
    assert.equal(
      newSigner().signedQuery(request, credentials, time, 86_400),
      'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
        '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
        '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    );
  });

  it('change with the day, the second, the secret key and the token, also of one signer', () => {
    const signer = newSigner();
    const request = { method: 'GET', path: '/test.txt', query: '', headers: { host } };
    const sign = (keys: typeof credentials & { sessionToken?: string }, at: number) =>
      signer.signedHeaders(request, undefined, keys, at);
    const first = sign(credentials, time);
    const others = [
      sign(credentials, time + 1000),
      sign(credentials, time + 24 * 3600 * 1000),
      sign({ ...credentials, secretAccessKey: 'another' }, time),
      sign({ ...credentials, sessionToken: 'token' }, time),
    ];
    const all = [first, ...others].map(({ authorization }) => authorization);
    assert.equal(new Set(all).size, all.length);
    assert.equal(others[3]?.['x-amz-security-token'], 'token');
    assert.deepEqual(sign(credentials, time), first);
    assert.deepEqual(newSigner().signedHeaders(request, undefined, credentials, time), first);
  });
});

describe('escaped keys and values', () => {
  it('keep only what signatures leave alone', () => {
    assert.equal(escapeValue("a b+c/d~e!'()*é\u{1f600}"), 'a%20b%2Bc%2Fd~e%21%27%28%29%2A%C3%A9%F0%9F%98%80');
    assert.equal(escapeKey('a b/c+d/é:=%'), 'a%20b/c%2Bd/%C3%A9%3A%3D%25');
    assert.equal(escapeKey('docker/registry/v2/_a-b.c~d'), 'docker/registry/v2/_a-b.c~d');
  });
});
