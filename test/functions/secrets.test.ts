import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
} from '@aws-sdk/client-secrets-manager';
import { ConfigError } from '../../lib/config/config.ts';
import { loadSettings } from '../../lib/lambda/settings.ts';
import { lambdaHandler } from '../../lib/lambda/handler.ts';
import { base } from '../../lib/http/base.ts';
import { startGateway } from '../servers/gateway.ts';
import { ministack, type Ministack } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';
import { Client } from './client.ts';

const secret = 's'.repeat(64);
const keys = { REGISTRY_STORAGE_S3_ACCESSKEY: 'AKIDEXAMPLE', REGISTRY_STORAGE_S3_SECRETKEY: 'wJalrXUtnFEMI' };

describe('settings in secrets of AWS', requires('ministack'), () => {
  let emulator: Ministack;
  const kept = { ...process.env };

  const put = async (Name: string, SecretString: string) => {
    await emulator.aws.secrets
      .send(new CreateSecretCommand({ Name, SecretString }))
      .catch(
        async () =>
          await emulator.aws.secrets.send(new PutSecretValueCommand({ SecretId: Name, SecretString })),
      );
  };

  const faults = async (): Promise<readonly string[]> => {
    try {
      await loadSettings('functions');
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      return error.faults;
    }
    return assert.fail('they are accepted');
  };

  const set = (variables: Readonly<Record<string, string>>) => {
    for (const name of Object.keys(process.env))
      if (!(name in kept)) Reflect.deleteProperty(process.env, name);
    Object.assign(process.env, { ...kept, ...emulator.env, ...variables });
  };

  before(async () => {
    emulator = await ministack();
  });

  after(async () => {
    set({});
    for (const name of Object.keys(emulator.env)) Reflect.deleteProperty(process.env, name);
    await emulator.stop();
  });

  beforeEach(async () => {
    const { SecretList = [] } = await emulator.aws.secrets.send(new ListSecretsCommand({}));
    for (const { Name } of SecretList)
      await emulator.aws.secrets.send(
        new DeleteSecretCommand({ SecretId: Name, ForceDeleteWithoutRecovery: true }),
      );
  });

  it('are read from all that REGISTRY_SECRETS names', async () => {
    await put('stowage/test/http', JSON.stringify({ REGISTRY_HTTP_SECRET: secret }));
    await put('stowage/test/storage', JSON.stringify(keys));
    set({
      REGISTRY_SECRETS: 'stowage/test/http, stowage/test/storage',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
    });
    const { secrets, storage } = await loadSettings('functions');
    assert.deepEqual(secrets, [secret]);
    assert.deepEqual(storage.kind === 's3' && storage.credentials, {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI',
      sessionToken: undefined,
    });
    // They are in no environment that a library or a child process could read.
    assert.doesNotMatch(JSON.stringify(process.env), /wJalr|ssss/);
  });

  it('have their faults in one message, which names the secrets and quotes nothing of them', async () => {
    await put('text', `REGISTRY_HTTP_SECRET=${secret}`);
    await put('number', JSON.stringify({ REGISTRY_HTTP_SECRET: 77_777 }));
    await put('list', JSON.stringify([secret]));
    await put('name', JSON.stringify({ [`Secret ${secret}`]: 'x' }));
    await put('one', JSON.stringify({ REGISTRY_HTTP_SECRET: secret }));
    await put('other', JSON.stringify({ REGISTRY_HTTP_SECRET: `2${secret}`, REGISTRY_LOG_LEVEL: 'warn' }));
    const names = ['missing', 'text', 'number', 'list', 'name', 'one', 'other'];
    set({ REGISTRY_SECRETS: names.join(','), REGISTRY_LOG_LEVEL: 'debug' });
    const found = await faults();
    const form = (name: string, more = '') =>
      `REGISTRY_SECRETS: the secret ${name} must be a JSON object such as {"REGISTRY_HTTP_SECRET": "…"}${more}`;
    assert.deepEqual(found, [
      'REGISTRY_SECRETS: the secret missing cannot be retrieved (ResourceNotFoundException); this account has none ' +
        'of this name in this region',
      form('text'),
      form('number', '; no text is REGISTRY_HTTP_SECRET'),
      form('list'),
      form('name', '; one of its names is no setting'),
      'REGISTRY_SECRETS: the secret other has REGISTRY_HTTP_SECRET, and so has the secret one; remove one of them',
      'REGISTRY_SECRETS: the secret other has REGISTRY_LOG_LEVEL, and so has the environment; remove one of them',
    ]);
    assert.doesNotMatch(found.join(), /sss|77777/);
  });

  it('are read again at the next request after a failure, and then kept', async () => {
    set({
      REGISTRY_SECRETS: 'stowage/test/late',
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/nonexistent/stowage',
    });
    set({
      REGISTRY_SECRETS: 'stowage/test/late',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'us-east-1',
    });
    const gateway = await startGateway({ base: lambdaHandler({ base }) });
    const client = new Client(gateway.url);
    const get = { method: 'GET', path: '/v2/' };
    await client.must(503, get);
    await put('stowage/test/late', JSON.stringify({ REGISTRY_HTTP_SECRET: secret }));
    await client.must(200, get);
    await put('stowage/test/late', 'not JSON any more');
    await client.must(200, get);
    await gateway.stop();
  });
});
