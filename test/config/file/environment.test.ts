import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadConfigFile } from '../../../lib/config/file/load.ts';
import { emptyFile, faultsOf, fileOf, load, removeFiles } from './files.ts';

after(removeFiles);

describe('variables beside a configuration file', () => {
  it('override its settings by name, unless they are empty', async () => {
    const text = 'http: { addr: "127.0.0.1:1", relativeurls: true }\nlog: { level: debug }';
    const { config } = await load(text, { REGISTRY_HTTP_ADDR: '127.0.0.1:2', REGISTRY_LOG_LEVEL: ' ' });
    assert.deepEqual(config.address, { host: '127.0.0.1', port: 2 });
    assert.deepEqual([config.relativeUrls, config.log.level], [true, 'debug']);
  });

  it('replace or add entries of its lists and maps', async () => {
    const text =
      'http: { headers: { X-Frame-Options: [DENY], X-A: [a] }, cors: { origins: [https://a.example.com] } }\nhealth: { file: [{ file: /a }] }';
    const { config } = await load(text, {
      'REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS': '[SAMEORIGIN]',
      'REGISTRY_HTTP_HEADERS_X-B': '[b]',
      REGISTRY_LOG_FIELDS_SERVICE: 'registry',
      REGISTRY_HTTP_CORS_ORIGINS_1: 'https://b.example.com',
      REGISTRY_HEALTH_FILE_0_INTERVAL: '20s',
      REGISTRY_HEALTH_FILE_1: '{file: /b}',
      REGISTRY_HEALTH_FILE_2_FILE: '/c',
    });
    assert.deepEqual(config.headers, {
      'X-Frame-Options': ['SAMEORIGIN'],
      'X-A': ['a'],
      'x-b': ['b'],
    });
    assert.deepEqual(config.log.fields, { service: 'registry' });
    assert.deepEqual(config.corsOrigins, ['https://a.example.com', 'https://b.example.com']);
    assert.deepEqual(
      config.health.extra.map((check) => (check.kind === 'file' ? [check.file, check.intervalMs] : [])),
      [
        ['/a', 20_000],
        ['/b', 10_000],
        ['/c', 10_000],
      ],
    );
    assert.match(
      (await faultsOf(text, { REGISTRY_HEALTH_FILE_7: '{file: /b}' })).join(),
      /^REGISTRY_HEALTH_FILE_7: is no entry of REGISTRY_HEALTH_FILE; indexes count from 0/,
    );
  });

  const onFolder = 'storage: { filesystem: { rootdirectory: /srv }, delete: { enabled: false } }';

  it('choose another driver, and leave what does not belong to the driver', async () => {
    const { config } = await load(onFolder, {
      REGISTRY_STORAGE: 's3aws',
      REGISTRY_STORAGE_S3AWS_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
    });
    assert.ok(config.storage.kind === 's3' && config.storage.bucket === 'images');
    assert.equal(config.deleteEnabled, false);
    const { config: same } = await load(onFolder, { REGISTRY_STORAGE: 'filesystem' });
    assert.deepEqual(same.storage, { kind: 'filesystem', rootDirectory: '/srv' });
    const { config: from } = await load('storage: { azure: { container: a } }', {
      REGISTRY_STORAGE: 'filesystem',
    });
    assert.equal(from.storage.kind, 'filesystem');
  });

  it('must say so when they mean another driver', async () => {
    assert.deepEqual(
      await faultsOf(onFolder, {
        REGISTRY_STORAGE_S3_BUCKET: 'images',
        REGISTRY_STORAGE_S3_REGION: 'eu-west-1',
      }),
      [
        'REGISTRY_STORAGE_S3_BUCKET: the file has the driver filesystem; set REGISTRY_STORAGE=s3 as well, or remove it',
      ],
    );
  });

  it('choose another access control or list of repositories', async () => {
    const text = `auth: { htpasswd: { realm: a, path: ${emptyFile} } }
search: { backend: { local: /srv/names } }`;
    const { config: open } = await load(text, {
      REGISTRY_AUTH: 'none',
      SEARCH_BACKEND: 'MYSQL',
      SEARCH_BACKEND_MYSQL: 'a:b@tcp(c:1)/d',
    });
    assert.deepEqual([open.auth.kind, open.search.kind], ['none', 'mysql']);
    const policy = { REGISTRY_AUTH: 'policy', REGISTRY_AUTH_POLICY_PATH: emptyFile };
    const { config: named } = await load(text, policy);
    assert.ok(named.auth.kind === 'policy');
    assert.deepEqual(named.auth.htpasswd, { kind: 'file', path: emptyFile });
    assert.match(
      (await faultsOf(text, { REGISTRY_AUTH_TOKEN_REALM: 'https://a' })).join(),
      /^REGISTRY_AUTH_TOKEN_…: has no effect without REGISTRY_AUTH=token/,
    );
  });

  it('may have a whole section as a map, which replaces that section, and whose single settings come first', async () => {
    const text = 'storage: { delete: { enabled: false } }\nhttp: { relativeurls: true, draintimeout: 1m }';
    const { config, sourceOf } = await load(text, {
      REGISTRY_STORAGE_DELETE: '{enabled: true}',
      REGISTRY_HTTP:
        '{"addr": ":7", "tls": {"minimumtls": "tls1.3"}, "headers": {"A": ["b"]}, "maxuploads": 7}',
      REGISTRY_HTTP_ADDR: '127.0.0.1:8',
    });
    assert.equal(config.deleteEnabled, true);
    assert.deepEqual(config.address, { host: '127.0.0.1', port: 8 });
    assert.deepEqual([config.maxUploads, config.headers], [7, { A: ['b'] }]);
    assert.deepEqual([config.relativeUrls, config.drainTimeoutMs], [false, 600_000]);
    assert.deepEqual(
      ['REGISTRY_HTTP_MAXUPLOADS', 'REGISTRY_HTTP_ADDR', 'REGISTRY_HTTP_TLS_MINIMUMTLS'].map(sourceOf),
      ['REGISTRY_HTTP', 'REGISTRY_HTTP_ADDR', 'REGISTRY_HTTP'],
    );
    const readOnly = await load('', { REGISTRY_STORAGE_MAINTENANCE_READONLY: '{"enabled":true}' });
    assert.equal(readOnly.config.readOnly, true);
  });

  it('of a section are refused with what is wrong in them', async () => {
    assert.deepEqual(
      await faultsOf('', {
        REGISTRY_STORAGE_DELETE: 'true',
        REGISTRY_HTTP: '{adr: a, relativeurls: yes}',
        REGISTRY_STORAGE_REDIRECT: '{disable: hunter2',
      }),
      [
        'REGISTRY_HTTP_RELATIVEURLS (in REGISTRY_HTTP): "yes" is not one of true, false',
        'REGISTRY_STORAGE_DELETE: is a section; write it as a map, such as {enabled: true}, or set one of REGISTRY_STORAGE_DELETE_…',
        'REGISTRY_STORAGE_REDIRECT: is a section; write it as a map, such as {enabled: true}, or set one of REGISTRY_STORAGE_REDIRECT_…',
        'REGISTRY_HTTP_ADR (in REGISTRY_HTTP): no such setting; did you mean REGISTRY_HTTP_ADDR?',
      ],
    );
  });

  it('of Kubernetes for Services do not change it', async () => {
    const { config } = await load(onFolder, {
      REGISTRY_STORAGE_S3_SERVICE_HOST: '10.0.0.1',
      REGISTRY_STORAGE_S3_PORT: 'tcp://10.0.0.1:80',
      REGISTRY_PORT: 'tcp://10.0.0.1:5000',
    });
    assert.equal(config.storage.kind, 'filesystem');
  });

  it('name it in REGISTRY_CONFIGURATION_PATH, after which the command line comes first', async () => {
    const [a, b] = ['a', 'b'].map((name) =>
      fileOf(`version: 0.1\nstorage: { filesystem: { rootdirectory: /${name} } }`),
    );
    const variables = { REGISTRY_CONFIGURATION_PATH: a };
    const rootOf = async (file: string | undefined) =>
      (
        await loadConfigFile('data-plane', file, {
          ...variables,
          REGISTRY_HTTP_SECRET: 's'.repeat(32),
          REGISTRY_HTTP_HOST: 'https://r.example.com',
        })
      ).config.storage;
    assert.deepEqual(await rootOf(undefined), { kind: 'filesystem', rootDirectory: '/a' });
    assert.deepEqual(await rootOf(b), { kind: 'filesystem', rootDirectory: '/b' });
  });

  it('include those of the file for a process that does not read it', async () => {
    const { environment } = await load('http: { headers: { A: [b] } }\nlog: { level: warn }', {
      REGISTRY_CONFIGURATION_PATH: '/etc/config.yml',
      REGISTRY_LOG_LEVEL: 'debug',
    });
    assert.deepEqual(environment, { REGISTRY_HTTP_HEADERS: '{"A":["b"]}', REGISTRY_LOG_LEVEL: 'debug' });
  });
});
