import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Server as NetServer } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { Client, someName } from '../functions/client.ts';
import { runNode, runServer } from './run-node.ts';
import { testCertificate, testKey } from '../servers/certificate.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { s3Settings, type S3Server } from '../servers/s3.ts';
import { serve } from '../servers/stowage.ts';
import { swift } from '../servers/swift.ts';

const BUCKET = 'images';

/** Keys that are right nowhere, and that no message may have. */
const foreignKeys = { accessKey: 'AKIAFOREIGNKEY', secretKey: 'foreign-secret-key' };

type Settings = Readonly<Record<string, string>>;

const s3 = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`REGISTRY_STORAGE_S3_${name}`, value]));

/** What one request to the functions was answered, and their log. */
interface Answered {
  readonly reply: { readonly status: number; readonly type: string; readonly body: string };
  readonly log: string;
}

/**
 * A process of its own reads the settings anew, and its log can be told from that of others. The answer is on standard
 * error, the log on standard output.
 */
const ask = `
  const [gatewayModule, manifestsModule, method, path] = process.argv.slice(1);
  const { startGateway } = await import(gatewayModule);
  const { handler } = await import(manifestsModule);
  const gateway = await startGateway({ manifests: handler });
  const response = await fetch(gateway.url + path, { method });
  const type = response.headers.get('content-type');
  console.error(JSON.stringify({ status: response.status, type, body: await response.text() }));
  process.exit(0);
`;

async function askFunctions(settings: Settings): Promise<Answered> {
  const modules = ['test/servers/gateway.ts', 'functions/manifests.ts'].map((path) =>
    new URL(`../../${path}`, import.meta.url).toString(),
  );
  const { code, output, errors } = await runNode(
    ['--input-type=module', '-e', ask, ...modules, 'GET', '/v2/some/image/manifests/v1'],
    { REGISTRY_HTTP_SECRET: 'the secret of a test', ...settings },
  );
  assert.equal(code, 0, `there was no answer: ${errors}${output}`);
  return { reply: JSON.parse(errors) as Answered['reply'], log: output };
}

/** A server of the test's own, and its base URL. */
interface Fake {
  readonly url: string;
  stop(): Promise<void>;
}

async function listening(server: NetServer, scheme: string, close: () => void): Promise<Fake> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.close();
      close();
      if (server.listening) await once(server, 'close');
    },
  };
}

/** What a server that is not the bucket's answers to everything. */
interface FakeAnswer {
  readonly status: number;
  readonly headers?: Settings;
  readonly body: (request: IncomingMessage) => string;
}

async function fakeServer({ status, headers = {}, body }: FakeAnswer): Promise<Fake> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(status, headers).end(body(request)));
  });
  return await listening(server, 'http', () => {
    server.closeAllConnections();
  });
}

/** Ends TLS before another server, with a certificate that signed itself. */
async function tlsBefore(target: string): Promise<Fake> {
  const { port, hostname } = new URL(target);
  const sockets = new Set<{ destroy(): unknown }>();
  const server = createTlsServer({ key: testKey, cert: testCertificate }, (socket) => {
    const other = connect(Number(port), hostname);
    sockets.add(socket).add(other);
    pipeline(socket, other, socket, () => undefined);
  });
  return await listening(server, 'https', () => {
    for (const socket of sockets) socket.destroy();
  });
}

const html = { 'content-type': 'text/html; charset=utf-8' };
const xml = { 'content-type': 'application/xml' };

/** Servers that are not the bucket's. They repeat what the request was signed with, which no message may show. */
const fakes: Readonly<Record<string, FakeAnswer & { readonly told: RegExp }>> = {
  'an endpoint that is a web site': {
    status: 200,
    headers: html,
    body: ({ headers }) =>
      `<!doctype html><html><body>Welcome!<br>${headers.authorization ?? ''}</body></html>`,
    told: /answered 200( with text\/html)?, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
  },
  'an endpoint that is a web site and has no such page': {
    status: 404,
    headers: html,
    body: () => '<html><body>Not found</body></html>',
    told: /answered 404 with text\/html, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
  },
  'an endpoint that is a web site and refuses': {
    status: 403,
    headers: html,
    body: () => '<html><body>Forbidden</body></html>',
    told: /answered 403 with text\/html, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
  },
  'an endpoint that speaks JSON': {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: () => '{}',
    told: /answered 200( with application\/json)?, which is not how S3 answers; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
  },
  'a bucket in another region, told in a header': {
    status: 301,
    headers: { ...xml, 'x-amz-bucket-region': 'eu-west-3' },
    body: () =>
      error('PermanentRedirect', 'The bucket must be addressed using the specified endpoint.', {
        Endpoint: 'images.s3.eu-west-3.amazonaws.com',
        Bucket: BUCKET,
      }),
    told: /not in the region us-east-1 but in eu-west-3; check REGISTRY_STORAGE_S3_REGION\b/,
  },
  'a bucket in another region, told in the answer': {
    status: 400,
    headers: xml,
    body: ({ headers }) =>
      error('AuthorizationHeaderMalformed', `the region is wrong: ${headers.authorization ?? ''}`, {
        Region: 'eu-west-3',
      }),
    told: /not in the region us-east-1 but in eu-west-3; check REGISTRY_STORAGE_S3_REGION\b/,
  },
  'a key that S3 does not know': {
    status: 403,
    headers: xml,
    body: () =>
      error('InvalidAccessKeyId', `The access key ${foreignKeys.accessKey} does not exist`, {
        AWSAccessKeyId: foreignKeys.accessKey,
      }),
    told: /does not know the access key; check REGISTRY_STORAGE_S3_ACCESSKEY/,
  },
  'a signature that S3 does not accept': {
    status: 403,
    headers: xml,
    body: ({ headers }) =>
      error('SignatureDoesNotMatch', `The signature does not match: ${headers.authorization ?? ''}`, {
        AWSAccessKeyId: foreignKeys.accessKey,
        StringToSign: `AWS4-HMAC-SHA256 ${headers.authorization ?? ''}`,
      }),
    told: /check REGISTRY_STORAGE_S3_SECRETKEY and REGISTRY_STORAGE_S3_ACCESSKEY/,
  },
  'a session that has ended': {
    status: 400,
    headers: xml,
    body: () => error('ExpiredToken', 'The token foreign-token has expired', { Token: 'foreign-token' }),
    told: /get new ones, and check REGISTRY_STORAGE_S3_SESSIONTOKEN/,
  },
  'a key without rights': {
    status: 403,
    headers: xml,
    body: ({ headers }) => error('AccessDenied', `Access denied to ${headers.authorization ?? ''}`, {}),
    told: /access denied; the key needs s3:ListBucket, .* on images\/\*/,
  },
};

function error(code: string, message: string, more: Settings): string {
  const fields = Object.entries({ Code: code, Message: message, ...more });
  return `<?xml version="1.0"?>\n<Error>${fields.map(([name, text]) => `<${name}>${text}</${name}>`).join('')}</Error>`;
}

/** Neither a key nor anything that was made with one. */
function assertNoSecret(text: string, settings: Settings): void {
  for (const name of ['ACCESSKEY', 'SECRETKEY', 'SESSIONTOKEN']) {
    const value = settings[`REGISTRY_STORAGE_S3_${name}`];
    assert.ok(value === undefined || !text.includes(value), `${name} is in ${text}`);
  }
  assert.doesNotMatch(text, /foreign|AWS4|Signature=|Credential=|StringToSign|[0-9a-f]{64}/i);
}

/** Wrong settings, what to stop afterwards, and the expected message. */
interface Case {
  readonly name: string;
  readonly told: RegExp;
  readonly prepare: () => Promise<readonly [Settings, Fake?]>;
}

describe('a bucket that cannot be used', requires('swift-proxy-server'), () => {
  let server: S3Server;
  let tls: Fake;

  before(async () => {
    server = await swift();
    await server.createBucket(BUCKET);
    tls = await tlsBefore(server.endpoint);
  });

  after(async () => {
    await tls.stop();
    await server.stop();
  });

  const right = () => s3Settings(server, BUCKET);
  const elsewhere = (endpoint: string) =>
    s3Settings({ endpoint, region: 'us-east-1', ...foreignKeys }, BUCKET);

  /** Without the keys, and where the SDK would look for some. */
  const withoutKeys = () => {
    const { REGISTRY_STORAGE_S3_ACCESSKEY, REGISTRY_STORAGE_S3_SECRETKEY, ...others } = right();
    assert.ok(REGISTRY_STORAGE_S3_ACCESSKEY !== undefined && REGISTRY_STORAGE_S3_SECRETKEY !== undefined);
    const nowhere = { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
    return { ...others, ...nowhere, AWS_EC2_METADATA_DISABLED: 'true' };
  };

  /** Wrong settings and the expected message. */
  const cases: Readonly<Record<string, readonly [() => Settings | Promise<Settings>, RegExp]>> = {
    'a bucket that does not exist': [
      () => ({ ...right(), ...s3({ BUCKET: 'no-such-bucket' }) }),
      /bucket no-such-bucket .* has no bucket of this name; check REGISTRY_STORAGE_S3_BUCKET/,
    ],
    'a wrong secret key': [
      () => ({ ...right(), ...s3({ SECRETKEY: foreignKeys.secretKey }) }),
      /check REGISTRY_STORAGE_S3_SECRETKEY and REGISTRY_STORAGE_S3_ACCESSKEY/,
    ],
    'a wrong access key': [
      () => ({ ...right(), ...s3({ ACCESSKEY: foreignKeys.accessKey }) }),
      /check REGISTRY_STORAGE_S3_SECRETKEY and REGISTRY_STORAGE_S3_ACCESSKEY/,
    ],
    'no keys at all': [
      withoutKeys,
      /no credentials were found; set REGISTRY_STORAGE_S3_ACCESSKEY and _SECRETKEY, or give the process a role/,
    ],
    'a wrong region': [
      () => ({ ...right(), ...s3({ REGION: 'eu-west-3' }) }),
      /not in the region eu-west-3 but in us-east-1; check REGISTRY_STORAGE_S3_REGION\b/,
    ],
    'an endpoint where nothing listens': [
      async () => elsewhere(`http://127.0.0.1:${await freePort()}`),
      /nothing listens at http:\/\/127\.0\.0\.1:\d+; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
    ],
    'an endpoint whose host does not exist': [
      () => elsewhere('http://nowhere.invalid:1'),
      /the host of http:\/\/nowhere\.invalid:1 is not found; check REGISTRY_STORAGE_S3_REGIONENDPOINT/,
    ],
    'an https endpoint that speaks plain HTTP': [
      () => elsewhere(server.endpoint.replace('http:', 'https:')),
      /does not speak TLS; check REGISTRY_STORAGE_S3_REGIONENDPOINT, which may have to begin with http:/,
    ],
    'an http endpoint that speaks TLS': [
      () => elsewhere(tls.url.replace('https:', 'http:')),
      /cut the connection; check REGISTRY_STORAGE_S3_REGIONENDPOINT, which may have to begin with https:/,
    ],
    'a certificate that signed itself': [
      () => ({ ...right(), ...s3({ REGIONENDPOINT: tls.url }) }),
      /the certificate of https:\S+ is signed by .* NODE_EXTRA_CA_CERTS, .* REGISTRY_STORAGE_S3_SKIPVERIFY=true/,
    ],
  };

  const allCases: readonly Case[] = [
    ...Object.entries(cases).map(([name, [settings, told]]): Case => {
      return { name, told, prepare: async () => [await settings()] };
    }),
    ...Object.entries(fakes).map(([name, { told, ...answer }]): Case => {
      const prepare = async () => {
        const fake = await fakeServer(answer);
        return [{ ...elsewhere(fake.url), ...s3({ SESSIONTOKEN: 'foreign-token' }) }, fake] as const;
      };
      return { name, told, prepare };
    }),
  ];

  for (const { name, prepare, told } of allCases) {
    it(`npm run serve exits with one message if the bucket cannot be used: ${name}`, async () => {
      const [settings, fake] = await prepare();
      const { code, output, errors } = await runServer(settings);
      await fake?.stop();
      assert.equal(code, 1, `it did not end with 1: ${errors}${output}`);
      assert.match(errors, /^The registry cannot start: [^\n]+\.\n$/);
      assert.match(errors, told);
      assert.match(output, /^\{[^\n]*"msg":"stowage starts"\}\n$/);
      assertNoSecret(errors + output, settings);
    });

    it(`functions answer 503 and log why the bucket cannot be used: ${name}`, async () => {
      const [settings, fake] = await prepare();
      const { reply, log } = await askFunctions(settings);
      await fake?.stop();
      assertUnavailable(reply);
      assert.match(failuresIn(log).join('\n'), told);
      assertNoSecret(log, settings);
    });
  }

  it("functions answer 503 and log every fault of the bucket's settings", async () => {
    const settings = s3({ BUCKET: 'x', SECRETKEY: foreignKeys.secretKey, REGION: 'eu-central-1' });
    const { reply, log } = await askFunctions(settings);
    assertUnavailable(reply);
    for (const name of ['BUCKET', 'ACCESSKEY'])
      assert.match(log, new RegExp(`"REGISTRY_STORAGE_S3_${name}: `));
    assertNoSecret(log, settings);
  });

  it("npm run serve lists every fault of the bucket's settings", async () => {
    const settings = s3({ BUCKET: 'x', SECRETKEY: foreignKeys.secretKey, REGION: 'eu-central-1' });
    const { code, output, errors } = await runServer(settings);
    assert.equal(code, 1);
    assert.match(
      errors,
      /^[^\n]+:\n {2}- REGISTRY_STORAGE_S3_BUCKET: [^\n]+\n {2}- \w+_ACCESSKEY: [^\n]+\n$/,
    );
    assertNoSecret(errors + output, settings);
  });

  describe('a bucket that can be used', () => {
    it('the registry stores images in a bucket on plain HTTP', async () => {
      await assertWorks(right());
    });

    it('the registry stores images in a bucket whose certificate is not verified', async () => {
      await assertWorks({ ...right(), ...s3({ REGIONENDPOINT: tls.url, SKIPVERIFY: 'true' }) });
    });

    it('the registry stores images in a bucket with a certificate of a configured CA', async () => {
      const folder = await temporaryFolder('s3-start');
      const file = join(folder.path, 'certificate.pem');
      await writeFile(file, testCertificate);
      const settings = { ...right(), ...s3({ REGIONENDPOINT: tls.url }) };
      await assertWorks({ ...settings, NODE_EXTRA_CA_CERTS: file });
      folder.remove();
    });

    it('functions store images in a bucket', async () => {
      const { reply, log } = await askFunctions(right());
      assert.equal(reply.status, 404);
      assert.match(reply.body, /"MANIFEST_UNKNOWN"/);
      assert.deepEqual(failuresIn(log), []);
    });
  });
});

/** The form of the OCI Distribution Spec ("Error Codes"), and nothing of the settings. */
function assertUnavailable({ status, type, body }: Answered['reply']): void {
  assert.equal(status, 503);
  assert.equal(type, 'application/json');
  const { errors } = JSON.parse(body) as { errors: { code: string; message: string }[] };
  assert.deepEqual(
    errors.map(({ code, message }) => [code, typeof message]),
    [['UNAVAILABLE', 'string']],
  );
  assert.doesNotMatch(body, /REGISTRY_|127\.0\.0\.1|images/);
}

/** What a log says of errors. */
function failuresIn(log: string): string[] {
  const events = log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { level: string; err?: { message: string } });
  return events.filter(({ level }) => level === 'error').map(({ err }) => err?.message ?? '');
}

async function assertWorks(settings: Settings): Promise<void> {
  const registry = await serve(settings);
  try {
    const client = new Client(`http://${registry.address}`);
    const name = someName();
    const { bytes } = await client.pushImage(name, 'v1');
    const reply = await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    assert.ok(reply.body.equals(bytes));
    assertNoSecret(registry.output().replaceAll(/sha256:\w+/g, ''), settings);
  } finally {
    await registry.stop();
  }
}
