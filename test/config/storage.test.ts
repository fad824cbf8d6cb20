import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig, type Program } from '../../lib/config/config.ts';
import type { S3Config } from '../../lib/config/s3.ts';
import { describeStorage, type StorageConfig } from '../../lib/config/storage.ts';
import { faultsOf } from './faults.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

const folder = 'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';

/** The variables of S3 settings. */
function s3(settings: Environment): Environment {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`REGISTRY_STORAGE_S3_${name}`, value]),
  );
}

const onAws = s3({ BUCKET: 'images', REGION: 'eu-central-1' });
const onServer = s3({ BUCKET: 'images', REGIONENDPOINT: 'http://127.0.0.1:9000' });

function storageOf(environment: Environment, program: Program = 'server'): StorageConfig {
  return loadConfig(program, environment).storage;
}

function s3Of(environment: Environment): S3Config {
  const storage = storageOf(environment);
  assert.ok(storage.kind === 's3', 'the images are not in a bucket');
  return storage;
}

/** The settings that faults are about. */
function namesOf(faults: readonly string[]): string[] {
  return faults.map((fault) => fault.replace(/:.*/s, '')).sort();
}

describe('a bucket', () => {
  it('a bucket on AWS is configured by its name and region', () => {
    assert.deepEqual(storageOf(onAws), {
      kind: 's3',
      bucket: 'images',
      region: 'eu-central-1',
      endpoint: undefined,
      credentials: undefined,
      rootDirectory: '',
      forcePathStyle: false,
      storageClass: undefined,
      skipVerify: false,
      partSize: 8 * MiB,
      equalParts: false,
      conditionalWrites: true,
      copy: { threshold: GiB, partSize: 256 * MiB, parallel: 16 },
    });
  });

  it('a bucket on another server is configured by its name and endpoint, and the server is probed', () => {
    assert.deepEqual(s3Of(onServer), {
      ...s3Of(onAws),
      region: 'us-east-1',
      endpoint: 'http://127.0.0.1:9000',
      forcePathStyle: true,
      conditionalWrites: undefined,
    });
  });

  it('a bucket on R2 has parts of one size, under any account and jurisdiction, and no other server has', () => {
    const equalOn = (host: string) =>
      s3Of({ ...onServer, ...s3({ REGIONENDPOINT: `https://${host}` }) }).equalParts;
    assert.equal(equalOn('0123abcd.r2.cloudflarestorage.com'), true);
    assert.equal(equalOn('0123abcd.eu.r2.cloudflarestorage.com'), true);
    assert.equal(equalOn('r2.cloudflarestorage.com.example.com'), false);
    assert.equal(equalOn('notr2.cloudflarestorage.com'), false);
  });
});

/** A setting and its value, with what it makes of the configuration beside that of a bucket on AWS. */
const values: readonly (readonly [string, string, Partial<S3Config>])[] = [
  ['BUCKET', 'My_Images.2', { bucket: 'My_Images.2' }],
  ['BUCKET', 'abc', { bucket: 'abc' }],
  ['BUCKET', 'a'.repeat(63), { bucket: 'a'.repeat(63) }],
  ['REGION', 'us-gov-west-1', { region: 'us-gov-west-1' }],
  ['REGION', ' ap-southeast-2 ', { region: 'ap-southeast-2' }],
  ['ROOTDIRECTORY', 'stage/images', { rootDirectory: 'stage/images' }],
  ['ROOTDIRECTORY', '//stage/images/', { rootDirectory: 'stage/images' }],
  ['ROOTDIRECTORY', '/', { rootDirectory: '' }],
  ['ROOTDIRECTORY', '...', { rootDirectory: '...' }],
  ['ROOTDIRECTORY', 'é'.repeat(128), { rootDirectory: 'é'.repeat(128) }],
  ['FORCEPATHSTYLE', 'true', { forcePathStyle: true }],
  ['FORCEPATHSTYLE', 'FALSE', { forcePathStyle: false }],
  ['ENCRYPT', 'true', { encryption: { keyId: undefined } }],
  ['ENCRYPT', 'false', {}],
  ['STORAGECLASS', 'STANDARD_IA', { storageClass: 'STANDARD_IA' }],
  ['STORAGECLASS', 'NONE', { storageClass: undefined }],
  ['STORAGECLASS', 'intelligent_tiering', { storageClass: 'INTELLIGENT_TIERING' }],
  ['CHUNKSIZE', '5242880', { partSize: 5 * MiB }],
  ['CHUNKSIZE', '1073741824', { partSize: GiB }],
  ['SECURE', 'true', {}],
  ['SKIPVERIFY', 'true', { skipVerify: true }],
  ['SKIPVERIFY', 'false', { skipVerify: false }],
  ['V4AUTH', 'true', {}],
  ['EQUALPARTS', 'true', { equalParts: true }],
  ['EQUALPARTS', 'false', { equalParts: false }],
  ['CONDITIONALWRITES', 'true', { conditionalWrites: true }],
  ['CONDITIONALWRITES', 'false', { conditionalWrites: false }],
  ['MULTIPARTCOPYTHRESHOLDSIZE', '5242880', { copy: copy({ threshold: 5 * MiB }) }],
  ['MULTIPARTCOPYTHRESHOLDSIZE', '5368709120', { copy: copy({ threshold: 5 * GiB }) }],
  ['MULTIPARTCOPYCHUNKSIZE', '5242880', { copy: copy({ partSize: 5 * MiB }) }],
  ['MULTIPARTCOPYCHUNKSIZE', '5368709120', { copy: copy({ partSize: 5 * GiB }) }],
  ['MULTIPARTCOPYMAXCONCURRENCY', '1', { copy: copy({ parallel: 1 }) }],
  ['MULTIPARTCOPYMAXCONCURRENCY', '1000', { copy: copy({ parallel: 1000 }) }],
];

function copy(more: Partial<NonNullable<S3Config['copy']>>): NonNullable<S3Config['copy']> {
  return { threshold: GiB, partSize: 256 * MiB, parallel: 16, ...more };
}

describe('a setting of S3', () => {
  for (const [name, value, expected] of values)
    it(`a setting of S3 is read: ${name}=${value.slice(0, 20)}`, () => {
      assert.deepEqual(s3Of({ ...onAws, ...s3({ [name]: value }) }), { ...s3Of(onAws), ...expected });
    });

  const optional = values.map(([name]) => name).filter((name) => name !== 'BUCKET' && name !== 'REGION');
  const others = ['ACCESSKEY', 'SECRETKEY', 'SESSIONTOKEN', 'REGIONENDPOINT', 'KEYID'];
  for (const name of new Set([...optional, ...others]))
    it(`a setting of S3 is left at its default where it is empty: ${name}`, () => {
      assert.deepEqual(s3Of({ ...onAws, ...s3({ [name]: ' ' }) }), s3Of(onAws));
    });

  it('settings of S3 may override the default for a server: FORCEPATHSTYLE, EQUALPARTS, CONDITIONALWRITES', () => {
    const r2 = { ...onServer, ...s3({ REGIONENDPOINT: 'https://a.r2.cloudflarestorage.com' }) };
    const config = s3Of({
      ...r2,
      ...s3({ FORCEPATHSTYLE: 'false', EQUALPARTS: 'false', CONDITIONALWRITES: 'true' }),
    });
    assert.deepEqual(config, {
      ...s3Of(r2),
      forcePathStyle: false,
      equalParts: false,
      conditionalWrites: true,
    });
    assert.equal(s3Of({ ...r2, ...s3({ CONDITIONALWRITES: 'false' }) }).conditionalWrites, false);
  });

  it('knows AWS by its endpoints of regions too: CONDITIONALWRITES', () => {
    const at = (endpoint: string) =>
      s3Of({ ...onAws, ...s3({ REGIONENDPOINT: endpoint }) }).conditionalWrites;
    for (const host of ['s3.eu-central-1.amazonaws.com', 's3.cn-north-1.amazonaws.com.cn'])
      assert.equal(at(`https://${host}`), true);
    for (const host of ['amazonaws.com.example.com', 'xamazonaws.com', 'minio.example.com:9000'])
      assert.equal(at(`https://${host}`), undefined);
  });

  it('names a key of KMS beside ENCRYPT=true: KEYID', () => {
    const { encryption } = s3Of({ ...onAws, ...s3({ ENCRYPT: 'true', KEYID: 'alias/images' }) });
    assert.deepEqual(encryption, { keyId: 'alias/images' });
  });

  it('gives both keys, with or without a session: ACCESSKEY, SECRETKEY, SESSIONTOKEN', () => {
    const keys = s3({ ACCESSKEY: 'test:tester', SECRETKEY: 'a/b+c==' });
    const credentials = { accessKeyId: 'test:tester', secretAccessKey: 'a/b+c==' };
    assert.deepEqual(s3Of({ ...onAws, ...keys }).credentials, { ...credentials, sessionToken: undefined });
    assert.deepEqual(s3Of({ ...onAws, ...keys, ...s3({ SESSIONTOKEN: 'token' }) }).credentials, {
      ...credentials,
      sessionToken: 'token',
    });
  });

  for (const [value, secure, endpoint] of [
    ['https://minio.example.com', undefined, 'https://minio.example.com'],
    ['https://minio.example.com:9000/', undefined, 'https://minio.example.com:9000'],
    ['HTTP://MINIO.example.com', undefined, 'http://minio.example.com'],
    ['http://[::1]:9000', undefined, 'http://[::1]:9000'],
    ['http://minio', 'true', 'http://minio'],
    ['https://minio', 'false', 'https://minio'],
    ['minio.example.com:9000', undefined, 'https://minio.example.com:9000'],
    ['minio.example.com', 'true', 'https://minio.example.com'],
    ['localhost:9000', 'false', 'http://localhost:9000'],
    ['127.0.0.1:9000', 'false', 'http://127.0.0.1:9000'],
  ] as const)
    it(`names a server: REGIONENDPOINT=${value}${secure === undefined ? '' : `, SECURE=${secure}`}`, () => {
      const config = s3Of({ ...onServer, ...s3({ REGIONENDPOINT: value, SECURE: secure }) });
      assert.equal(config.endpoint, endpoint);
    });

  it('takes any region of another server', () => {
    for (const region of ['auto', 'garage', 'RegionOne', 'x1', 'eu-central-1'])
      assert.equal(s3Of({ ...onServer, ...s3({ REGION: region }) }).region, region);
  });
});

/** A setting and a value that is wrong, with what the fault must say is right. */
const wrong: readonly (readonly [string, string, RegExp])[] = [
  ...['ab', 'a'.repeat(64), 'a/b', '-images', 'images-', 'my images', 's3://images', 'https://images'].map(
    (value) => ['BUCKET', value, /is not a valid bucket name$/] as const,
  ),
  ...['frankfurt', 'eu-central', 'EU-CENTRAL-1', 'auto', 'eu-central-1a'].map(
    (value) => ['REGION', value, /is not a region of AWS, such as eu-central-1$/] as const,
  ),
  ...['eu_central_1', 'eu central 1', 'https://s3.eu-central-1.amazonaws.com', '-'].map(
    (value) => ['REGION', value, /is not a region, such as eu-central-1$/] as const,
  ),
  ...[
    'https://',
    'http://minio.example.com/images',
    'http://minio.example.com?x',
    'http://minio.example.com#x',
    'ftp://minio.example.com',
    's3://images',
    'minio.example.com/images',
    'minio example com',
    'localhost:90000',
  ].map(
    (value) =>
      [
        'REGIONENDPOINT',
        value,
        /not the base URL .*, such as https:\/\/storage.*without the bucket$/,
      ] as const,
  ),
  ...['a//b', '.', 'a/./b', '../a', 'a/..'].map(
    (value) => ['ROOTDIRECTORY', value, /must not have empty, "\." or "\.\." segments$/] as const,
  ),
  ['ROOTDIRECTORY', 'é'.repeat(129), /longer than 256 bytes, the most that fits into keys$/],
  ...[
    'FORCEPATHSTYLE',
    'ENCRYPT',
    'SECURE',
    'SKIPVERIFY',
    'V4AUTH',
    'EQUALPARTS',
    'CONDITIONALWRITES',
  ].flatMap((name) =>
    ['yes', '1', 'truefalse'].map((value) => [name, value, /is not one of true, false$/] as const),
  ),
  ['V4AUTH', 'false', /version 2 are not supported; remove it$/],
  ['SECURE', 'false', /requires REGISTRY_STORAGE_S3_REGIONENDPOINT; S3 itself uses https$/],
  ['KEYID', 'alias/images', /unless REGISTRY_STORAGE_S3_ENCRYPT is true$/],
  ...['GLACIER', 'DEEP_ARCHIVE', 'OUTPOSTS', 'fast'].map(
    (value) =>
      ['STORAGECLASS', value, /is not one of STANDARD, .*GLACIER_IR, EXPRESS_ONEZONE, NONE$/] as const,
  ),
  ...['5242879', '1073741825', '8MB', '8e6', '-8388608', '8388608.5', '0x800000', 'Infinity'].map(
    (value) => ['CHUNKSIZE', value, /number of bytes from 5242880 to 1073741824$/] as const,
  ),
  ...['MULTIPARTCOPYTHRESHOLDSIZE', 'MULTIPARTCOPYCHUNKSIZE'].flatMap((name) =>
    ['5242879', '5368709121', '1GB'].map(
      (value) => [name, value, /number of bytes from 5242880 to 5368709120$/] as const,
    ),
  ),
  ...['0', '1001', 'many', '1.5'].map(
    (value) => ['MULTIPARTCOPYMAXCONCURRENCY', value, /number of concurrent copies from 1 to 1000$/] as const,
  ),
];

describe('a setting of S3 that is wrong', () => {
  for (const [name, value, right] of wrong)
    it(`the fault of a wrong setting of S3 says what is valid: ${name}=${value.slice(0, 40)}`, () => {
      const [fault = '', ...others] = faultsOf({ ...onAws, ...s3({ [name]: value }) });
      assert.ok(fault.startsWith(`REGISTRY_STORAGE_S3_${name}: `), fault);
      assert.match(fault, right);
      assert.deepEqual(others, []);
    });

  for (const [missing, given] of [
    ['SECRETKEY', { ACCESSKEY: 'the-access-key' }],
    ['SECRETKEY', { ACCESSKEY: 'the-access-key', SECRETKEY: ' ', SESSIONTOKEN: 'the-token' }],
    ['ACCESSKEY', { SECRETKEY: 'the-secret-key' }],
    ['ACCESSKEY', { SECRETKEY: 'the-secret-key', SESSIONTOKEN: 'the-token' }],
  ] as const)
    it(`a missing setting of S3 is a fault: ${missing} beside ${Object.keys(given).join(' and ')}`, () => {
      const [fault = '', ...others] = faultsOf({ ...onAws, ...s3(given) });
      assert.match(fault, new RegExp(`^REGISTRY_STORAGE_S3_${missing}: missing, .*or none to use a role$`));
      assert.deepEqual(others, []);
    });

  for (const key of ['ACCESSKEY', 'SECRETKEY', 'SESSIONTOKEN'])
    it(`a setting of S3 with a line break is a fault and not quoted: ${key}`, () => {
      const keys = { ACCESSKEY: 'a', SECRETKEY: 'b', SESSIONTOKEN: 'c', [key]: 'first\r\nsecond' };
      assert.deepEqual(faultsOf({ ...onAws, ...s3(keys) }), [
        `REGISTRY_STORAGE_S3_${key}: must not contain line breaks or other control characters`,
      ]);
    });

  it('missing settings of S3 are a fault: ACCESSKEY and SECRETKEY beside SESSIONTOKEN', () => {
    assert.deepEqual(faultsOf({ ...onAws, ...s3({ SESSIONTOKEN: 'the-token' }) }), [
      'REGISTRY_STORAGE_S3_ACCESSKEY: missing, and REGISTRY_STORAGE_S3_SECRETKEY; ' +
        'REGISTRY_STORAGE_S3_SESSIONTOKEN has no effect without both',
    ]);
  });

  it('missing settings of S3 are a fault: BUCKET and REGION', () => {
    for (const empty of [undefined, '', ' ']) {
      assert.match(faultsOf({ ...onAws, ...s3({ BUCKET: empty }) }).join(), /^\w+_BUCKET: missing; name /);
      assert.match(
        faultsOf({ ...onAws, ...s3({ REGION: empty }) }).join(),
        /^REGISTRY_STORAGE_S3_REGION: missing; .* such as eu-central-1$/,
      );
    }
  });

  it('a fault of S3 is reported together with those of other stores', () => {
    const faults = faultsOf({
      ...s3({
        BUCKET: 'x',
        REGIONENDPOINT: '/',
        REGION: '?',
        ACCESSKEY: 'alone',
        ROOTDIRECTORY: '..',
        STORAGECLASS: 'x',
        CHUNKSIZE: 'x',
        KEYID: 'x',
        V4AUTH: 'false',
        SKIPVERIFY: 'x',
        BUCKIT: 'x',
      }),
      REGISTRY_STORAGE_DELETE_ENABLED: 'x',
      [folder]: '/srv',
    });
    assert.deepEqual(namesOf(faults), [
      'REGISTRY_STORAGE',
      'REGISTRY_STORAGE_DELETE_ENABLED',
      ...[
        'BUCKET',
        'BUCKIT',
        'CHUNKSIZE',
        'KEYID',
        'REGION',
        'REGIONENDPOINT',
        'ROOTDIRECTORY',
        'SECRETKEY',
        'SKIPVERIFY',
        'STORAGECLASS',
        'V4AUTH',
      ].map((name) => `REGISTRY_STORAGE_S3_${name}`),
    ]);
  });

  it('a wrong setting of S3 is a fault even if images are in a folder', () => {
    assert.deepEqual(
      namesOf(faultsOf({ ...onAws, ...s3({ CHUNKSIZE: 'x' }), REGISTRY_STORAGE: 'filesystem' })),
      ['REGISTRY_STORAGE_S3_CHUNKSIZE'],
    );
  });
});

describe('a secret', () => {
  const keys = { ACCESSKEY: 'AKIAhunter2', SECRETKEY: 'hunter2/secret', SESSIONTOKEN: 'token-hunter2' };

  it('no fault contains a secret', () => {
    for (const [name, value] of wrong) {
      const faults = faultsOf({ ...onAws, ...s3(keys), ...s3({ [name]: value }) });
      assert.equal(faults.length, 1);
      assert.doesNotMatch(faults.join(), /hunter2/);
    }
  });

  it('no fault about keys, endpoints with credentials or mistyped names contains a secret', () => {
    for (const environment of [
      s3({ ACCESSKEY: keys.ACCESSKEY }),
      s3({ SECRETKEY: keys.SECRETKEY }),
      s3({ SESSIONTOKEN: keys.SESSIONTOKEN }),
      s3({ ACCESSKEY: keys.ACCESSKEY, SESSIONTOKEN: keys.SESSIONTOKEN }),
      s3({ SECRETKEYS: keys.SECRETKEY }),
      s3({ ACCESSKEYID: keys.ACCESSKEY }),
      s3({ REGIONENDPOINT: 'https://user:hunter2@minio.example.com' }),
      s3({ REGIONENDPOINT: 'user:hunter2@minio.example.com:9000/images' }),
      s3({ REGIONENDPOINT: 'hunter2 hunter2' }),
    ]) {
      const faults = faultsOf({ ...onAws, ...environment });
      assert.equal(faults.length, 1, faults.join());
      assert.doesNotMatch(faults.join(), /hunter2/);
    }
  });

  it('the description of the storage contains no secret', () => {
    const words = describeStorage(storageOf({ ...onServer, ...s3(keys), ...s3({ ROOTDIRECTORY: 'stage' }) }));
    assert.equal(words, 'the bucket images (http://127.0.0.1:9000), below stage/');
    assert.equal(describeStorage(storageOf(onAws)), 'the bucket images (eu-central-1)');
    assert.equal(describeStorage(storageOf({ [folder]: '/srv' })), '/srv');
  });
});

describe('the store', () => {
  it('the store is a bucket or a folder if only that is configured, or also named', () => {
    assert.equal(storageOf({ ...onAws, REGISTRY_STORAGE: 's3' }).kind, 's3');
    assert.equal(storageOf({ ...onAws, REGISTRY_STORAGE: 'S3' }).kind, 's3');
    assert.deepEqual(storageOf({ [folder]: '/srv' }), { kind: 'filesystem', rootDirectory: '/srv' });
    assert.deepEqual(storageOf({ ...onAws, [folder]: ' ' }), storageOf(onAws));
    assert.deepEqual(storageOf({ ...s3({ BUCKET: '', REGION: ' ' }) }), storageOf({}));
  });

  it('the store must be named if two are configured', () => {
    const both = { ...onAws, [folder]: '/srv' };
    const [fault = '', ...others] = faultsOf(both);
    assert.match(fault, /^REGISTRY_STORAGE: more than one store is configured; set it to filesystem or s3$/);
    assert.deepEqual(others, []);
    assert.deepEqual(storageOf({ ...both, REGISTRY_STORAGE: 's3' }), storageOf(onAws));
    assert.deepEqual(storageOf({ ...both, REGISTRY_STORAGE: 'filesystem' }), {
      kind: 'filesystem',
      rootDirectory: '/srv',
    });
    assert.deepEqual(storageOf({ ...onAws, REGISTRY_STORAGE: 'filesystem' }), {
      kind: 'filesystem',
      rootDirectory: resolve('.registry'),
    });
  });

  it('the store needs a bucket and its region if S3 is only named', () => {
    assert.deepEqual(namesOf(faultsOf({ REGISTRY_STORAGE: 's3' })), [
      'REGISTRY_STORAGE_S3_BUCKET',
      'REGISTRY_STORAGE_S3_REGION',
    ]);
    assert.deepEqual(namesOf(faultsOf(s3({ REGIONENDPOINT: 'http://minio' }))), [
      'REGISTRY_STORAGE_S3_BUCKET',
    ]);
  });

  it('the store in Lambda may be a bucket but no folder', () => {
    const lambda = { AWS_LAMBDA_FUNCTION_NAME: 'base', REGISTRY_AUTH: 'none', REGISTRY_HTTP_SECRET: 'x' };
    assert.deepEqual(faultsOf({ ...onAws, ...lambda }, 'functions'), []);
    assert.deepEqual(
      namesOf(
        faultsOf(
          { ...onAws, ...lambda, REGISTRY_STORAGE: 'filesystem', REGISTRY_HTTP_DATAPLANE: 'http://a' },
          'functions',
        ),
      ),
      [folder],
    );
  });

  for (const [name, advice] of [
    ['REGISTRY_HTTP_TLS_LETSENCRYPT_EMAIL', /certificates are not fetched here; .*, and remove it$/],
    ['REGISTRY_STORAGE_MAINTENANCE_READONLY', /READONLY_ENABLED=true for a read-only registry/],
    ['REGISTRY_STORAGE_S3_ACCELERATE', /accelerated endpoint in \w+_REGIONENDPOINT, .*FORCEPATHSTYLE=false$/],
    ['REGISTRY_STORAGE_S3_USEDUALSTACK', /dual-stack endpoint in REGISTRY_STORAGE_S3_REGIONENDPOINT$/],
    ['REGISTRY_STORAGE_S3_OBJECTACL', /bucket policy, and remove it$/],
    ['REGISTRY_STORAGE_S3_BUCKETS', /no such setting; did you mean REGISTRY_STORAGE_S3_BUCKET\?$/],
    ['REGISTRY_STORAGE_S3_', /no such setting; docs\/configuration\.md lists all of them$/],
    ['REGISTRY_STORAGE_S3_SECRET_KEY', /no such setting; did you mean REGISTRY_STORAGE_S3_SECRETKEY\?$/],
    ['REGISTRY_STORAGE_GCS_BUCKET', /no driver for Google Cloud Storage; copy the images/],
  ] as const)
    it(`refuses ${name} and says why`, () => {
      const [fault = '', ...others] = faultsOf({ ...onAws, [name]: 'the value' });
      assert.ok(fault.startsWith(`${name}: `), fault);
      assert.match(fault, advice);
      assert.doesNotMatch(fault, /the value/);
      assert.deepEqual(others, []);
    });
});

describe('functions on S3', () => {
  const functions = { ...onAws, REGISTRY_HTTP_SECRET: 'x' };

  it('functions on S3 need no data plane, and may have one', () => {
    assert.equal(loadConfig('functions', functions).dataPlane, undefined);
    const environment = { ...functions, REGISTRY_HTTP_DATAPLANE: 'http://a:5001' };
    assert.equal(loadConfig('functions', environment).dataPlane, 'http://a:5001');
  });

  it('functions on S3 need a data plane if redirects are disabled', () => {
    const environment = { ...functions, REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' };
    const [fault = '', ...others] = faultsOf(environment, 'functions');
    assert.match(
      fault,
      /^REGISTRY_HTTP_DATAPLANE: missing; .*REGISTRY_STORAGE_REDIRECT_DISABLE.*stowage serve data-plane/,
    );
    assert.deepEqual(others, []);
    assert.deepEqual(faultsOf({ ...environment, REGISTRY_HTTP_DATAPLANE: 'http://a:5001' }, 'functions'), []);
  });

  it('the streaming server refuses the settings of a data plane', () => {
    const [fault = '', ...others] = faultsOf({ ...onAws, REGISTRY_HTTP_DATAPLANE: 'http://a:5001' });
    assert.match(fault, /^REGISTRY_HTTP_DATAPLANE: only functions need a data plane; .*remove it$/);
    assert.deepEqual(others, []);
  });
});
