import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Htpasswd } from '../../../lib/access/htpasswd/htpasswd.ts';
import { line, outcome, right } from './lines.ts';

const arn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:registry-users-AbCdEf';
const address = '192.0.2.1';

/** What the server answers: a value, or the name of an error. */
let answer:
  { readonly SecretString?: string; readonly SecretBinary?: string; readonly VersionId: string } | string;
let retrievals = 0;

/** Answers GetSecretValue as AWS does (AWS JSON 1.1), where the request is signed for the right service and region. */
const server = createServer((request, response) => {
  void (async () => {
    retrievals++;
    const { headers } = request;
    assert.equal(headers['x-amz-target'], 'secretsmanager.GetSecretValue');
    assert.match(
      headers.authorization ?? '',
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/secretsmanager\/aws4_request, ?/,
    );
    assert.deepEqual(JSON.parse(await textOf(request)), { SecretId: arn });
    const failed = typeof answer === 'string';
    response.writeHead(failed ? 400 : 200, { 'Content-Type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify(failed ? { __type: answer, message: 'not for logs' } : answer));
  })().catch((error: unknown) => {
    response.writeHead(500).end(String(error));
  });
});

async function textOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat((await request.toArray()) as Uint8Array[]).toString();
}

const variables = ['AWS_ENDPOINT_URL_SECRETS_MANAGER', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
const kept = variables.map((name) => process.env[name]);

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const values = [`http://127.0.0.1:${port}`, 'AKIDEXAMPLE', 'secret'];
  for (const [i, name] of variables.entries()) process.env[name] = values[i];
});

after(() => {
  server.closeAllConnections();
  server.close();
  for (const [i, name] of variables.entries())
    if (kept[i] === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = kept[i];
});

async function open(checkEveryMs: number, warnings: string[] = []): Promise<Htpasswd> {
  const warn = (message: string) => {
    warnings.push(message);
  };
  return await Htpasswd.open({ kind: 'secret', arn }, { warn, checkEveryMs });
}

describe('a password file in a secret of AWS', () => {
  it('is retrieved at the start, and again after the time that is set', async () => {
    answer = { SecretString: line('alice'), VersionId: '1' };
    const rare = await open(60_000);
    const often = await open(0);
    const before = retrievals;
    assert.equal(await outcome(rare.verify('alice', right, address)), 'ok');
    assert.equal(retrievals, before);
    answer = { SecretString: line('bob'), VersionId: '2' };
    assert.equal(await outcome(often.verify('bob', right, address)), 'ok');
    assert.equal(await outcome(often.verify('alice', right, address)), 'UNAUTHORIZED');
    await Promise.all([rare.close(), often.close()]);
  });

  it('may be binary', async () => {
    answer = { SecretBinary: Buffer.from(line('älice')).toString('base64'), VersionId: '1' };
    const htpasswd = await open(60_000);
    assert.equal(await outcome(htpasswd.verify('älice', right, address)), 'ok');
    await htpasswd.close();
  });

  it('stays in force where it cannot be retrieved again, which is said without the words of AWS', async () => {
    answer = { SecretString: line('alice'), VersionId: '1' };
    const warnings: string[] = [];
    const htpasswd = await open(0, warnings);
    answer = 'AccessDeniedException';
    for (let i = 0; i < 3; i++) assert.equal(await outcome(htpasswd.verify('alice', right, address)), 'ok');
    assert.deepEqual(warnings, [
      `the secret ${arn} cannot be retrieved (AccessDeniedException); the role of this registry needs ` +
        'secretsmanager:GetSecretValue on it\nThe previous users stay in use.',
    ]);
    await htpasswd.close();
  });

  it('is refused at the start where it cannot be retrieved', async () => {
    answer = 'ResourceNotFoundException';
    await assert.rejects(open(0), {
      message: new RegExp(
        `^the secret ${arn} cannot be retrieved \\(ResourceNotFoundException\\); this account `,
      ),
    });
  });
});
