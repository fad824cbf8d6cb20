import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Retrieval } from '../../lib/access/secrets-manager/retrieval.ts';
import { SdkRetrieval } from '../../lib/access/secrets-manager/sdk.ts';
import { signedRetrieval } from '../../lib/access/secrets-manager/signed.ts';
import { plainOrigin } from '../../lib/storage/s3/client/endpoint.ts';

const keys = {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_SESSION_TOKEN: 'token',
};
const binary = Buffer.from([0, 255, 10]);
const secret = { VersionId: '1', SecretString: 'text', SecretBinary: binary.toString('base64') };

type Answer = { readonly status: number; readonly body: string } | 'hang up';

const found: Answer = { status: 200, body: JSON.stringify(secret) };
const refusal = (status: number, type: string): Answer => ({
  status,
  body: JSON.stringify({ __type: type, message: 'not for logs' }),
});

/** What the server answers, the first of it first. */
let answers: Answer[] = [];
const seen: Record<string, unknown>[] = [];

const server = createServer((request, response) => {
  void text(request).then((body) => {
    const { method, url, headers } = request;
    const [scope = ''] = /(?<=AKIDEXAMPLE\/\d{8}\/)[^,]+/.exec(headers.authorization ?? '') ?? [];
    const { 'x-amz-target': target, 'content-type': type, 'x-amz-security-token': token } = headers;
    seen.push({ method, url, scope, target, type, token, body });
    const answer = answers.shift();
    if (answer === undefined || answer === 'hang up') request.socket.destroy();
    else response.writeHead(answer.status).end(answer.body);
  });
});

let origin = '';

const ways: readonly (readonly [name: string, open: () => Retrieval])[] = [
  ['by a request that is signed here', () => retrievalAt({ ...keys, AWS_ENDPOINT_URL: origin })],
  ['by the SDK', () => new SdkRetrieval('eu-central-1')],
];

function retrievalAt(environment: Readonly<Record<string, string>>): Retrieval {
  const retrieval = signedRetrieval('eu-central-1', environment);
  assert.ok(retrieval);
  return retrieval;
}

for (const [name, open] of ways)
  describe(`a secret, retrieved ${name}`, () => {
    const kept = { ...process.env };
    let retrieval: Retrieval;

    before(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      Object.assign(process.env, keys, { AWS_ENDPOINT_URL: origin });
      retrieval = open();
    });

    beforeEach(() => {
      seen.length = 0;
    });

    after(async () => {
      retrieval.close();
      for (const variable of [...Object.keys(keys), 'AWS_ENDPOINT_URL'])
        if (kept[variable] === undefined) Reflect.deleteProperty(process.env, variable);
        else process.env[variable] = kept[variable];
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    });

    it('is asked for as AWS wants it', async () => {
      answers = [found];
      const { VersionId, SecretString, SecretBinary = [] } = await retrieval.retrieve('stowage/http');
      assert.deepEqual([VersionId, SecretString, Buffer.from(SecretBinary)], ['1', 'text', binary]);
      assert.deepEqual(seen, [
        {
          method: 'POST',
          url: '/',
          scope: 'eu-central-1/secretsmanager/aws4_request',
          target: 'secretsmanager.GetSecretValue',
          type: 'application/x-amz-json-1.1',
          token: 'token',
          body: '{"SecretId":"stowage/http"}',
        },
      ]);
    });

    for (const [failure, answer] of [
      ['the server fails', refusal(500, 'InternalServiceError')],
      ['requests are throttled', refusal(400, 'ThrottlingException')],
      ['the server hangs up', 'hang up'],
    ] as const) {
      it(`is asked for again where ${failure}`, async () => {
        answers = [answer, found];
        assert.equal((await retrieval.retrieve('one')).SecretString, 'text');
        assert.equal(seen.length, 2);
      });

      it(`is asked for twice at most where ${failure}`, async () => {
        answers = [answer, answer, found];
        await assert.rejects(retrieval.retrieve('one'));
        assert.equal(seen.length, 2);
      });
    }

    it('is asked for once where it is refused, and the error has the name of AWS', async () => {
      for (const error of ['ResourceNotFoundException', 'AccessDeniedException', 'DecryptionFailure']) {
        answers = [refusal(400, `com.amazonaws.secretsmanager#${error}`), found];
        seen.length = 0;
        await assert.rejects(retrieval.retrieve('one'), { name: error });
        assert.equal(seen.length, 1);
      }
    });
  });

describe('a request for a secret that is signed here', () => {
  const inFunction = { ...keys, AWS_LAMBDA_FUNCTION_NAME: 'registry', AWS_REGION: 'eu-central-1' };

  it('refuses what is no answer of AWS', async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const retrieval = retrievalAt({ ...keys, AWS_ENDPOINT_URL_SECRETS_MANAGER: url, AWS_ENDPOINT_URL: 'no' });
    for (const body of ['', 'null', '<html>', '{"SecretString":"text"}']) {
      answers = [{ status: 200, body }];
      await assert.rejects(retrieval.retrieve('one'), { name: 'HTTP 200' });
    }
    retrieval.close();
    server.closeAllConnections();
    server.close();
  });

  it('is sent to the address that the SDK knows', () => {
    for (const region of ['eu-central-1', 'us-east-1', 'cn-north-1', 'us-gov-west-1', 'mx-central-1']) {
      const { config } = new SecretsManagerClient({ region });
      const { url } = config.endpointProvider({ Region: region });
      const plain = plainOrigin('secretsmanager', 'SECRETS_MANAGER', region, inFunction);
      assert.equal(plain, url.origin);
    }
  });

  it('is left to the SDK where more than the region may count', () => {
    const isSigned = (environment: object, region?: string) =>
      signedRetrieval(region, { ...inFunction, ...environment }) !== undefined;
    assert.ok(isSigned({}));
    assert.ok(isSigned({ AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1' }));
    assert.ok(!isSigned({}, 'us-iso-east-1'));
    for (const name of ['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_LAMBDA_FUNCTION_NAME'])
      assert.ok(!isSigned({ [name]: undefined }), name);
    for (const name of ['AWS_PROFILE', 'AWS_CREDENTIAL_EXPIRATION', 'AWS_USE_FIPS_ENDPOINT'])
      assert.ok(!isSigned({ [name]: 'true' }), name);
    for (const url of ['no URL', 'http://127.0.0.1:1/path'])
      assert.ok(!isSigned({ AWS_ENDPOINT_URL: url }), url);
    assert.ok(
      !isSigned({ AWS_ENDPOINT_URL: 'http://127.0.0.1', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }),
    );
  });
});
