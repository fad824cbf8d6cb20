import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UrlSigner } from '../../lib/registry/url-signer.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { secretsIn, secretsOf } from './secrets.ts';

const urlSigner = new UrlSigner(['the secret of a test']);
const name = parseRepositoryName('team/app');

const leaks: Readonly<Record<string, string>> = {
  'the state of an upload': urlSigner.signUpload(name, 'id', { offset: 12 }),
  'the Location of an upload': '{"path":"/v2/a/blobs/uploads/x?_state=1"}',
  'a signed URL of ours': `GET /v2/a/blobs/b?${urlSigner.signBlob(name, parseDigest(`sha256:${'a'.repeat(64)}`)).toString()}`,
  'a signed URL of S3': 'https://s3/bucket/key?X-Amz-Date=1&X-Amz-Signature=12ab',
  'a signed URL of SCS': 'http://scs/bucket/key?Expires=1&SOHUCSAccessKeyId=A&x=1',
  'a signed request to S3': 'authorization: AWS4-HMAC-SHA256 Credential=AKIA/2026/s3, Signature=12',
  'credentials of a client': '"authorization":"Basic dXNlcjpwYXNzd29yZA=="',
  "a robot's token": '{"message":"stowage_robot_eyJhbGciOiJIUzI1NiJ9 is void"}',
  'a token of a client': `{"token":"${['eyJhbGciOiJFZERTQSJ9', 'eyJpc3MiOiJzdG93YWdlIn0', 'c2ln'].join('.')}"}`,
  'a line of a password file': `line 2: alice:$2y$10$${'a'.repeat(53)}`,
  'a DSN': 'cannot reach user:pass/word@tcp(127.0.0.1:3306)/registry',
  'a URL with a password': 'mysql://user:pass@localhost/registry',
  'a secret that it was given': '{"message":"the secret of a test is short"}',
};

describe('the search for secrets in a log', () => {
  for (const [what, text] of Object.entries(leaks))
    it(`finds ${what}`, () => {
      assert.notDeepEqual(secretsIn(text, ['the secret of a test']), []);
    });

  it('finds no secrets in the usual log of a registry', () => {
    const line =
      '{"level":"info","time":"2026-11-24T10:00:00.000Z","id":"0b0e4f6a-5f3f-4f0e-a3b5-0d7d5c9d3c11","address":"10.0.0.7","agent":"docker/29.1.1","method":"PATCH","path":"/v2/team/app/blobs/uploads/0b0e4f6a-5f3f-4f0e-a3b5-0d7d5c9d3c11","status":202,"milliseconds":12} ' +
      'the _state of this upload was altered; use the Location as sent; at file:///app/lib/registry/uploads.ts:12:3 http://127.0.0.1:5000/v2/';
    assert.deepEqual(secretsIn(line, ['the secret of a test']), []);
  });

  it('recognises settings that are secrets', () => {
    const secrets = secretsOf({
      REGISTRY_HTTP_SECRET: 'the secret of a test',
      REGISTRY_STORAGE_S3_ACCESSKEY: 'test:tester',
      REGISTRY_STORAGE_SCS_SECRETKEY: 'test/secret+key=1',
      SEARCH_BACKEND_MYSQL: 'user:pass@tcp(localhost)/x',
      REGISTRY_STORAGE_SCS_BUCKET: 'images-of-a-test',
      REGISTRY_STORAGE_S3_SECURE: undefined,
      PASSWORDS: 'password of alice\npassword of bob',
    });
    assert.deepEqual(secrets, [
      'the secret of a test',
      'test:tester',
      'test/secret+key=1',
      'user:pass@tcp(localhost)/x',
      'password of alice',
      'password of bob',
    ]);
  });
});
