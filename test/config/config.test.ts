import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resolve } from 'node:path';
import { defaultLog } from '../../lib/config/log.ts';
import { loadConfig, type Config, type Program } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What each program needs at least. */
const needed: Readonly<Record<Program, Environment>> = {
  server: {},
  functions: { REGISTRY_HTTP_SECRET: 'hunter2', REGISTRY_HTTP_DATAPLANE: 'http://127.0.0.1:5001' },
  maintenance: {},
  'data-plane': { REGISTRY_HTTP_SECRET: 'hunter2', REGISTRY_HTTP_HOST: 'http://127.0.0.1:5000' },
};

const load = (environment: Environment, program: Program = 'server'): Config =>
  loadConfig(program, { ...needed[program], ...environment });

describe('loadConfig', () => {
  it('needs no settings: the default is a local folder and a loopback address', () => {
    const { secrets, ...config } = load({});
    assert.deepEqual(config, {
      storage: { kind: 'filesystem', rootDirectory: resolve('.registry') },
      search: { kind: 'bucket' },
      auth: { kind: 'none' },
      retention: undefined,
      corsOrigins: [],
      warnings: [],
      readOnly: false,
      deleteEnabled: true,
      redirectEnabled: true,
      secretIsGenerated: true,
      host: undefined,
      relativeUrls: false,
      dataPlane: undefined,
      cloudWatch: undefined,
      tracing: undefined,
      debug: undefined,
      address: { host: '127.0.0.1', port: 5000 },
      tls: undefined,
      http2: false,
      prefix: '',
      headers: {},
      maxUploads: 256,
      workers: undefined,
      workerNumber: undefined,
      drainTimeoutMs: 600_000,
      trustedProxies: [],
      health: { storage: { intervalMs: 10_000, threshold: 3 }, extra: [] },
      log: defaultLog,
      requiredPlatforms: 'all',
      collection: {
        enabled: false,
        deleteUntagged: false,
        delayMs: 86_400_000,
        exclusive: false,
        fence: { lifetimeMs: 120_000, marginMs: 600_000 },
      },
      notifications: { endpoints: [], includeReferences: false, queue: undefined },
      upstreams: [],
      copyFunction: undefined,
    });
    assert.match(secrets[0] ?? '', /^[0-9a-f]{64}$/);
    assert.equal(secrets.length, 1);
  });

  it('generates a new secret at each start', () => {
    assert.notDeepEqual(load({}).secrets, load({}).secrets);
  });

  const settings: readonly (readonly [string, string, Partial<Config>])[] = [
    [
      'REGISTRY_STORAGE',
      'filesystem',
      { storage: { kind: 'filesystem', rootDirectory: resolve('.registry') } },
    ],
    [
      'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
      '/srv/images',
      { storage: { kind: 'filesystem', rootDirectory: '/srv/images' } },
    ],
    [
      'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
      'images/../data',
      { storage: { kind: 'filesystem', rootDirectory: resolve('data') } },
    ],
    ['REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED', 'true', { readOnly: true }],
    ['REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED', 'false', { readOnly: false }],
    ['REGISTRY_STORAGE_DELETE_ENABLED', 'false', { deleteEnabled: false }],
    ['REGISTRY_STORAGE_DELETE_ENABLED', 'TRUE', { deleteEnabled: true }],
    ['REGISTRY_STORAGE_REDIRECT_DISABLE', 'true', { redirectEnabled: false }],
    ['REGISTRY_STORAGE_REDIRECT_DISABLE', 'false', { redirectEnabled: true }],
    ['REGISTRY_HTTP_SECRET', 'hunter2', { secrets: ['hunter2'], secretIsGenerated: false }],
    ['REGISTRY_HTTP_HOST', 'https://registry.example.com', { host: 'https://registry.example.com' }],
    ['REGISTRY_HTTP_HOST', 'https://registry.example.com/', { host: 'https://registry.example.com' }],
    ['REGISTRY_HTTP_HOST', 'HTTP://LOCALHOST:5000', { host: 'http://localhost:5000' }],
    ['REGISTRY_HTTP_RELATIVEURLS', 'true', { relativeUrls: true }],
    ['REGISTRY_HTTP_ADDR', '0.0.0.0:80', { address: { host: '0.0.0.0', port: 80 } }],
    ['REGISTRY_HTTP_ADDR', 'localhost:0', { address: { host: 'localhost', port: 0 } }],
    ['REGISTRY_HTTP_ADDR', ':5000', { address: { host: '::', port: 5000 } }],
    ['REGISTRY_HTTP_ADDR', '[::1]:65535', { address: { host: '::1', port: 65535 } }],
    ['REGISTRY_LOG_LEVEL', 'debug', { log: { ...defaultLog, level: 'debug' } }],
    ['REGISTRY_LOG_LEVEL', 'Error', { log: { ...defaultLog, level: 'error' } }],
    ['REGISTRY_LOG_FORMATTER', 'text', { log: { ...defaultLog, formatter: 'text' } }],
    [
      'REGISTRY_LOG_FIELDS',
      '{"service": "images"}',
      { log: { ...defaultLog, fields: { service: 'images' } } },
    ],
    ['REGISTRY_LOG_ACCESSLOG_DISABLED', 'true', { log: { ...defaultLog, accessLog: false } }],
    ['REGISTRY_HTTP_DRAINTIMEOUT', '1m30s', { drainTimeoutMs: 90_000 }],
    [
      'REGISTRY_HTTP_TRUSTEDPROXIES',
      '10.0.0.0/8, 2001:db8::1',
      {
        trustedProxies: [
          { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
          { address: '2001:db8::1', prefix: 128, family: 'ipv6' },
        ],
      },
    ],
    [
      'REGISTRY_HTTP_TRUSTEDPROXIES',
      '::ffff:10.0.0.0/104',
      { trustedProxies: [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' }] },
    ],
    ['REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS', 'all', { requiredPlatforms: 'all' }],
    ['REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS', 'None', { requiredPlatforms: 'none' }],
  ];
  for (const [name, value, expected] of settings)
    it(`reads ${name}=${value}`, () => {
      const config = load({ REGISTRY_AUTH: 'none', [name]: value });
      assert.deepEqual({ ...config, ...expected }, config);
    });

  it('warns of REGISTRY_HTTP_TRUSTEDPROXIES that are every address', () => {
    const warnings = (value: string) => load({ REGISTRY_HTTP_TRUSTEDPROXIES: value }).warnings.join();
    assert.match(
      warnings('10.0.0.0/8, 0.0.0.0/0'),
      /: 0\.0\.0\.0\/0 is every address of IPv4, so any client can/,
    );
    assert.match(warnings('::/0'), /: ::\/0 is every address of IPv6/);
    assert.match(warnings('::ffff:0.0.0.0/96'), /every address of IPv4/);
    assert.equal(warnings('10.0.0.0/8, ::1'), '');
  });

  it('reads REGISTRY_HTTP_DATAPLANE, which only functions may have', () => {
    const environment = { REGISTRY_HTTP_DATAPLANE: 'http://[::1]:5001/' };
    assert.equal(load(environment, 'functions').dataPlane, 'http://[::1]:5001');
    assert.match(
      faultsOf(environment).join(),
      /^REGISTRY_HTTP_DATAPLANE: only functions need a data plane; .*remove it$/,
    );
  });

  for (const name of ['REGISTRY_HTTP_DATAPLANE', ...new Set(settings.map(([each]) => each))])
    it(`treats an empty ${name} as unset, as distribution does`, () => {
      const { secrets, ...config } = load({ [name]: ' ' });
      const { secrets: own, ...defaults } = load({});
      assert.deepEqual(config, defaults);
      assert.equal(secrets.length, own.length);
    });

  it('accepts signatures of the previous secret', () => {
    const { secrets } = load({ REGISTRY_HTTP_SECRET: 'new', REGISTRY_HTTP_SECRET_PREVIOUS: 'old' });
    assert.deepEqual(secrets, ['new', 'old']);
  });

  for (const [name, value] of [
    ['REGISTRY_STORAGE', 'webdav'],
    ['REGISTRY_STORAGE_DELETE_ENABLED', 'yes'],
    ['REGISTRY_STORAGE_REDIRECT_DISABLE', '1'],
    ['REGISTRY_HTTP_RELATIVEURLS', 'on'],
    ['REGISTRY_HTTP_HOST', 'registry.example.com'],
    ['REGISTRY_HTTP_HOST', 'localhost:5000'],
    ['REGISTRY_HTTP_HOST', 'ftp://registry.example.com'],
    ['REGISTRY_HTTP_HOST', 'https://example.com/registry'],
    ['REGISTRY_HTTP_HOST', 'https://example.com?a=b'],
    ['REGISTRY_HTTP_DATAPLANE', '/v2'],
    ['REGISTRY_HTTP_ADDR', '5000'],
    ['REGISTRY_HTTP_ADDR', 'localhost'],
    ['REGISTRY_HTTP_ADDR', 'localhost:65536'],
    ['REGISTRY_HTTP_ADDR', 'localhost:-1'],
    ['REGISTRY_HTTP_ADDR', '::1:5000'],
    ['REGISTRY_HTTP_ADDR', 'http://localhost:5000'],
    ['REGISTRY_LOG_LEVEL', 'loud'],
    ['REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS', 'some'],
  ] as const)
    it(`refuses ${name}=${value}, naming the setting and what would be right`, () => {
      const [fault = '', ...others] = faultsOf({ [name]: value });
      assert.match(fault, new RegExp(`^${name}: .*(such as|one of) `));
      assert.deepEqual(others, []);
    });

  for (const name of ['REGISTRY_HTTP_ADDR', 'REGISTRY_HTTP_MAXUPLOADS', 'REGISTRY_LOG_LEVEL'])
    it(`does not quote a value of ${name} that may be secret or is long`, () => {
      for (const value of ['u:hunter2@tcp(127.0.0.1:3306)/d', 'hunter2'.repeat(10_000)]) {
        const [fault = '', ...others] = faultsOf({ [name]: value });
        assert.match(fault, new RegExp(`^${name}: it is not `));
        assert.doesNotMatch(fault, /hunter2/);
        assert.deepEqual(others, []);
      }
    });

  for (const name of [
    'REGISTRY_HTTP_ADDR',
    'REGISTRY_HTTP_HOST',
    'REGISTRY_HTTP_SECRET',
    'REGISTRY_LOG_LEVEL',
    'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
    'SEARCH_BACKEND_LOCAL',
  ])
    it(`refuses control characters in ${name} without quoting the value`, () => {
      for (const character of ['\r\n', '\n', '\t', '\0', '\x7f', '\x85'])
        assert.deepEqual(faultsOf({ [name]: `https://reg.example.com${character}X` }), [
          `${name}: must not contain line breaks or other control characters`,
        ]);
    });

  it('lists every fault in one message', () => {
    const faults = faultsOf(
      {
        REGISTRY_STORAGE: 's4',
        REGISTRY_STORAGE_DELETE_ENABLED: 'maybe',
        REGISTRY_STORAGE_REDIRECT_DISABLE: 'maybe',
        REGISTRY_HTTP_HOST: 'x',
        REGISTRY_HTTP_RELATIVEURLS: 'x',
        REGISTRY_HTTP_ADDR: 'x',
        REGISTRY_LOG_LEVEL: 'x',
        REGISTRY_TYPO: 'x',
        AWS_LAMBDA_FUNCTION_NAME: 'base',
      },
      'functions',
    );
    assert.deepEqual(faults.map((fault) => fault.split(':', 1).join('')).sort(), [
      'REGISTRY_AUTH',
      'REGISTRY_HTTP_ADDR',
      'REGISTRY_HTTP_DATAPLANE',
      'REGISTRY_HTTP_HOST',
      'REGISTRY_HTTP_RELATIVEURLS',
      'REGISTRY_HTTP_SECRET',
      'REGISTRY_LOG_LEVEL',
      'REGISTRY_STORAGE',
      'REGISTRY_STORAGE_DELETE_ENABLED',
      'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
      'REGISTRY_STORAGE_REDIRECT_DISABLE',
      'REGISTRY_TYPO',
    ]);
  });

  it('refuses unknown settings, so that none is ignored', () => {
    for (const name of ['REGISTRY_STORAGE_DELETE_ENABLE', 'REGISTRY_', 'REGISTRY_PORTAL'])
      assert.match(faultsOf({ [name]: 'x' })[0] ?? '', new RegExp(`^${name}: no such setting`));
    assert.deepEqual(faultsOf({ REGISTRY_TYPO: '', REGISTRY_HTTP_TLS_KEY: ' ' }), []);
  });

  it('warns once of all settings that have no effect', () => {
    const environment = {
      REGISTRY_REDIS_ADDR: 'localhost:6379',
      REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR: 'redis',
      REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED: 'false',
      // Set by Kubernetes for a Service.
      REGISTRY_REDIS_SERVICE_HOST: '10.0.0.2',
      REGISTRY_REDIS_PORT_6379_TCP_ADDR: '10.0.0.2',
    };
    const { warnings } = load(environment);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? '',
      /no effect here, .*: REGISTRY_REDIS_ADDR, REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR$/,
    );
    assert.deepEqual(load({ REGISTRY_REDIS_ADDR: '' }).warnings, []);
  });

  it('refuses the name of a configuration file where none is read', () => {
    const environment = { ...needed.functions, REGISTRY_CONFIGURATION_PATH: '/etc/config.yml' };
    assert.match(
      faultsOf(environment, 'functions').join(),
      /^REGISTRY_CONFIGURATION_PATH: only stowage serve/,
    );
  });

  it('reads the names and lists of distribution', () => {
    const alias = load({
      REGISTRY_STORAGE: 's3aws',
      REGISTRY_STORAGE_S3AWS_BUCKET: 'images',
      REGISTRY_STORAGE_S3AWS_REGION: 'eu-west-1',
    });
    assert.ok(alias.storage.kind === 's3' && alias.storage.bucket === 'images');
    assert.equal(load({ REGISTRY_LOGLEVEL: 'debug' }).log.level, 'debug');
    assert.equal(load({ REGISTRY_LOGLEVEL: 'debug', REGISTRY_LOG_LEVEL: 'warn' }).log.level, 'warn');
    const list = 'REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST';
    assert.deepEqual(
      load({
        REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS: 'List',
        [list]: '[{architecture: amd64, os: linux}, {architecture: arm64, os: linux}]',
      }).requiredPlatforms,
      [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64' },
      ],
    );
  });

  it('ignores variables of other programs and those that Kubernetes sets for a Service called registry', () => {
    const environment = {
      PATH: '/bin',
      HOME: '/root',
      registry_storage: 'x',
      MY_REGISTRY_STORAGE: 'x',
      REGISTRY_PORT: 'tcp://10.0.0.1:5000',
      REGISTRY_PORT_5000_TCP: 'tcp://10.0.0.1:5000',
      REGISTRY_PORT_5000_TCP_ADDR: '10.0.0.1',
      REGISTRY_PORT_5000_TCP_PORT: '5000',
      REGISTRY_PORT_5000_TCP_PROTO: 'tcp',
      REGISTRY_SERVICE_HOST: '10.0.0.1',
      REGISTRY_SERVICE_PORT: '5000',
      REGISTRY_SERVICE_PORT_HTTP: '5000',
    };
    assert.deepEqual(faultsOf(environment), []);
  });

  it('refuses a REGISTRY_PORT that is not the URL of a Kubernetes Service', () => {
    for (const value of ['1', '5000', ':5000', '127.0.0.1:5000', 'tcp:5000'])
      assert.match(faultsOf({ REGISTRY_PORT: value }).join(), /^REGISTRY_PORT: .*REGISTRY_HTTP_ADDR/);
    for (const value of ['tcp://10.0.0.1:5000', 'udp://10.0.0.1:53', 'sctp://10.0.0.1:9000'])
      assert.deepEqual(faultsOf({ REGISTRY_PORT: value }), []);
  });

  it('never puts a secret into a message', () => {
    for (const environment of [
      {
        REGISTRY_HTTP_SECRET: 'hunter2',
        REGISTRY_HTTP_SECRET_PREVIOUS: 'hunter2-old',
        REGISTRY_LOG_LEVEL: 'x',
      },
      { REGISTRY_HTTP_SECRET_OLD: 'hunter2' },
      { REGISTRY_HTTP_HOST: 'ftp://user:hunter2@registry' },
      { REGISTRY_HTTP_DATAPLANE: 'https://user:hunter2@registry/path' },
      { REGISTRY_STORAGE_S3_SECRETKEY: 'hunter2' },
    ]) {
      const faults = faultsOf(environment);
      assert.ok(faults.length > 0);
      assert.doesNotMatch(faults.join('\n'), /hunter2/);
    }
  });

  it('ignores credentials in a URL', () => {
    assert.equal(load({ REGISTRY_HTTP_HOST: 'https://user:hunter2@registry' }).host, 'https://registry');
  });

  it('reads the environment of the process by default', () => {
    process.env['REGISTRY_LOG_LEVEL'] = 'warn';
    try {
      assert.equal(loadConfig('server').log.level, 'warn');
    } finally {
      delete process.env['REGISTRY_LOG_LEVEL'];
    }
  });
});

describe('the required platforms of an index', () => {
  const kind = 'REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS';
  const list = 'REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST';

  for (const [text, platforms] of [
    ['linux/amd64', [{ os: 'linux', architecture: 'amd64' }]],
    [
      ' linux/amd64 ,windows/386',
      [
        { os: 'linux', architecture: 'amd64' },
        { os: 'windows', architecture: '386' },
      ],
    ],
  ] as const)
    it(`required platforms may be a list such as ${JSON.stringify(text)}`, () => {
      assert.deepEqual(load({ [kind]: 'LIST', [list]: text }).requiredPlatforms, platforms);
    });

  it('required platforms need a list in list mode', () => {
    for (const text of [undefined, '', ' '])
      assert.deepEqual(faultsOf({ [kind]: 'list', [list]: text }), [
        `${list}: missing; ${kind}=list needs it, such as linux/amd64,linux/arm64`,
      ]);
  });

  it('required platforms refuse a list outside list mode, where it would have no effect', () => {
    for (const other of [undefined, '', 'all', 'none'])
      assert.deepEqual(faultsOf({ [kind]: other, [list]: 'linux/amd64' }), [
        `${list}: has no effect without ${kind}=list; set that, or remove it`,
      ]);
    assert.equal(load({ [kind]: 'none', [list]: ' ' }).requiredPlatforms, 'none');
  });

  for (const text of [
    'amd64',
    'linux',
    'linux/',
    '/amd64',
    ',',
    'linux/amd64,',
    'linux/amd64 linux/arm64',
    'linux/arm/v7',
    'Linux/amd64',
    '- os: linux',
    '*/*',
  ])
    it(`required platforms refuse ${JSON.stringify(text)} and say what is valid`, () => {
      assert.deepEqual(faultsOf({ [kind]: 'list', [list]: text }), [
        `${list}: not a list of operating systems and architectures, such as linux/amd64,linux/arm64`,
      ]);
    });
});

describe('each program', () => {
  for (const [program, missing] of [
    ['server', []],
    ['functions', ['REGISTRY_HTTP_SECRET', 'REGISTRY_HTTP_DATAPLANE']],
    ['data-plane', ['REGISTRY_HTTP_SECRET', 'REGISTRY_HTTP_HOST']],
  ] as const)
    it(`lists missing settings: ${program} needs ${missing.join(' and ') || 'nothing'}`, () => {
      const faults = faultsOf({}, program);
      assert.deepEqual(
        faults.map((fault) =>
          fault
            .split(': ', 2)
            .join(': ')
            .replace(/: missing;.*/, ''),
        ),
        missing,
      );
      assert.deepEqual(faultsOf(needed[program], program), []);
    });

  const inLambda = { ...needed.functions, AWS_LAMBDA_FUNCTION_NAME: 'base', REGISTRY_AUTH: 'none' };
  for (const folder of [
    undefined,
    '',
    '/tmp',
    '/tmp/',
    '/tmp/images',
    '/mnt/../tmp/images',
    '/tmpfs',
    '/mnt',
    'images',
  ])
    it(`refuses the local disk in Lambda: ${folder === undefined ? 'no folder' : JSON.stringify(folder)}`, () => {
      const faults = faultsOf(
        {
          ...inLambda,
          REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder,
        },
        'functions',
      );
      assert.match(
        faults.join('\n'),
        /^REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: Lambda's disk .* mounted file system, below \/mnt$/,
      );
    });

  it('accepts a mounted file system in Lambda', () => {
    for (const folder of ['/mnt/images', '/tmp/../mnt/a/b'])
      assert.deepEqual(
        faultsOf({ ...inLambda, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder }, 'functions'),
        [],
      );
  });

  it('requires a secret in Lambda, as each instance would generate another', () => {
    assert.match(
      faultsOf(
        {
          ...inLambda,
          REGISTRY_HTTP_SECRET: '',
          REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/mnt/images',
        },
        'functions',
      ).join(),
      /^REGISTRY_HTTP_SECRET: missing/,
    );
  });

  it('requires no secret in a function that signs nothing, and generates none', () => {
    const { REGISTRY_HTTP_SECRET, ...without }: Environment = {
      ...inLambda,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/mnt/images',
    };
    const options = { signs: false };
    const { secrets, secretIsGenerated } = loadConfig('functions', without, options);
    assert.deepEqual({ secrets, secretIsGenerated }, { secrets: [], secretIsGenerated: false });
    // One that has it keeps it.
    assert.deepEqual(loadConfig('functions', { ...without, REGISTRY_HTTP_SECRET }, options).secrets, [
      'hunter2',
    ]);
    // Outside of Lambda, it may sign tokens.
    assert.throws(() => loadConfig('functions', { ...without, IS_OFFLINE: 'true' }, options), {
      message: /REGISTRY_HTTP_SECRET: missing/,
    });
  });

  it('accepts any disk under serverless-offline, which sets the variables of Lambda', () => {
    assert.deepEqual(faultsOf({ ...inLambda, IS_OFFLINE: 'true' }, 'functions'), []);
  });
});
