import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadConfigFile } from '../../../lib/config/file/load.ts';
import { ConfigError } from '../../../lib/config/settings.ts';
import { emptyFile, faultsOf, fileOf, load, removeFiles } from './files.ts';

after(removeFiles);

describe('a configuration file', () => {
  it('is read as variables would be', async () => {
    const { config } = await load(`
storage:
  s3aws:
    bucket: images
    region: eu-central-1
    chunksize: 5242880
    rootdirectory: "0123"
  delete:
    enabled: false
  redirect:
    disable: true
auth:
  token:
    realm: https://auth.example.com/token
    service: registry
    issuer: auth
    jwks: ${emptyFile}
    signingalgorithms: [ES256, RS256]
http:
  addr: :5000
  cors:
    origins:
      - https://a.example.com
      - https://b.example.com
  headers:
    X-Frame-Options: [DENY]
validation:
  manifests:
    indexes:
      platforms: List
      platformlist:
        - architecture: amd64
          os: linux
        - { os: linux, architecture: arm64 }
loglevel: debug
`);
    assert.ok(config.storage.kind === 's3');
    const { bucket, region, partSize, rootDirectory } = config.storage;
    assert.deepEqual(
      { bucket, region, partSize, rootDirectory },
      { bucket: 'images', region: 'eu-central-1', partSize: 5242880, rootDirectory: '0123' },
    );
    assert.deepEqual([config.deleteEnabled, config.redirectEnabled], [false, false]);
    assert.ok(config.auth.kind === 'token');
    assert.deepEqual(config.auth.algorithms, ['ES256', 'RS256']);
    assert.deepEqual(config.address, { host: '::', port: 5000 });
    assert.deepEqual(config.headers, { 'X-Frame-Options': ['DENY'] });
    assert.deepEqual(config.corsOrigins, ['https://a.example.com', 'https://b.example.com']);
    assert.deepEqual(config.requiredPlatforms, [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ]);
    assert.equal(config.log.level, 'debug');
  });

  it('has settings of this registry that distribution has not', async () => {
    const secret = 'x'.repeat(32);
    const { config } = await load(`
storage: { scs: { bucket: images, region: bjcnc, accesskey: a, secretkey: b } }
search: { backend: { local: /srv/names } }
auth:
  policy: { path: ${emptyFile}, secret: ${secret}1, secret_previous: ${secret}2 }
  htpasswd: { path: ${emptyFile} }
http: { secret: ${secret}3, secret_previous: ${secret}4, host: https://r.example.com }
`);
    assert.equal(config.storage.kind, 'scs');
    assert.deepEqual(config.search, { kind: 'local', path: '/srv/names' });
    assert.ok(config.auth.kind === 'policy');
    assert.deepEqual(config.auth.secrets, [`${secret}1`, `${secret}2`]);
    assert.deepEqual(config.auth.htpasswd, { kind: 'file', path: emptyFile });
    assert.deepEqual(config.secrets, [`${secret}3`, `${secret}4`]);
  });

  it('names a driver or an access control without settings', async () => {
    for (const text of ['storage: filesystem\nauth: none', 'storage: { filesystem: }\nauth: { none: }']) {
      const { config } = await load(text);
      // As in distribution.
      assert.deepEqual(config.storage, { kind: 'filesystem', rootDirectory: '/var/lib/registry' });
      assert.equal(config.auth.kind, 'none');
    }
  });

  it('ignores empty sections, lists and values', async () => {
    const { config } = await load(
      'http:\nlog: ~\nredis: {}\nstorage:\n  filesystem:\n    rootdirectory: /srv\n  cache:\nauth:\nnotifications:\n  endpoints: []\nhealth: null\nproxy:\n  remoteurl: ""\n',
    );
    assert.deepEqual(config.storage, { kind: 'filesystem', rootDirectory: '/srv' });
    assert.equal(config.warnings.length, 0);
  });

  it('may repeat itself by aliases and merge keys', async () => {
    const { config } = await load(`
storage: { filesystem: &base { rootdirectory: /srv } }
http:
  secret: &secret ${'s'.repeat(40)}
log:
  fields: { <<: { a: b, c: d }, a: *secret }
`);
    assert.deepEqual(config.storage, { kind: 'filesystem', rootDirectory: '/srv' });
    assert.deepEqual(config.log.fields, { a: 's'.repeat(40), c: 'd' });
  });

  it('is refused with every fault of it and of the environment, with their lines', async () => {
    const text = `
htpp: { addr: :5000 }
http:
  adr: :5000
  relativeurls: yes
  host: [a]
  headers: nosniff
storage:
  filesystem: { rootdirectory: /srv, maxthread: 5 }
  s3: { bucket: images }
auth: [htpasswd]
proxy: { remoteurl: http://registry-1.docker.io }
compatibility: { schema1: { enabled: true } }
`;
    assert.deepEqual(
      [...(await faultsOf(text, { REGISTRY_TYPO: 'x' }))].sort(),
      [
        'REGISTRY_TYPO: no such setting; docs/configuration.md lists all of them',
        'auth (line 12): must be a section of settings (key: value)',
        'compatibility.schema1.enabled (line 14): pushes of schema 1 are refused, and old manifests are served as they are stored; remove it',
        'htpp (line 3): no such setting; did you mean http?',
        'http.adr (line 5): no such setting; did you mean http.addr?',
        'http.headers (line 8): must be a map',
        'http.host (line 7): must be a single value',
        'http.relativeurls (line 6): "yes" is not one of true, false',
        'proxy.remoteurl (line 13): must begin with https://, since anybody on the way could change what comes; set REGISTRY_PROXY_INSECURE=true if that is meant',
        'storage (line 10): must have exactly one of filesystem, s3',
        'storage.filesystem.maxthread (line 10): no such setting; did you mean storage.filesystem.maxthreads?',
        'storage.s3.bucket',
      ].slice(0, -1),
    );
  });

  for (const [text, fault] of [
    ['storage: azure', /^storage \(line 2\): there is no driver for Azure; copy the images/],
    ['storage:\n  inmemory:', /^storage\.inmemory \(line 3\): images are not kept in memory; name a folder/],
    ['auth:\n  silly: { realm: a, service: b }', /^auth\.silly \(line 3\): it lets everybody in/],
    ['log:\n  hooks: [{ type: mail, disabled: false }]', /^log\.hooks \(line 3\): the log sends no mail/],
    [
      'notifications: { endpoints: [{ disabled: true }, { url: a }] }',
      /^notifications\.endpoints \(line 2\): /,
    ],
    [
      'storage: { s3: { bucket: abc, region: eu-west-1, accelerate: true } }',
      /accelerate \(line 2\): not supported/,
    ],
    ['middleware: { storage: [{ name: cloudfront }] }', /^middleware\.storage \(line 2\): /],
    ['validation: { manifests: { urls: { allow: [a] } } }', /^validation\.manifests\.urls \(line 2\): /],
    ['constructor: { a: b }', /^constructor \(line 2\): no such setting/],
    ['__proto__: { http: b }', /^__proto__ \(line 2\): no such setting/],
    ['http: { addr: "0.0.0.0:1" }', /^REGISTRY_AUTH: missing, .* set auth: none in the file/],
  ] as const)
    it(`refuses ${text.replaceAll(/\s+/g, ' ')}`, async () => {
      const faults = await faultsOf(text);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
    });

  for (const text of [
    'log: { hooks: [{ type: mail, disabled: true }] }',
    'notifications: { endpoints: [{ disabled: true }] }',
    'middleware: { storage: [{ name: cloudfront, disabled: true }] }',
    'storage: { s3: { bucket: abc, region: eu-west-1, accelerate: false, objectacl: private } }',
    'compatibility: { schema1: { enabled: false } }',
  ])
    it(`accepts ${text}`, async () => {
      assert.deepEqual(await faultsOf(text), []);
    });

  it('has one warning of all settings without effect', async () => {
    const { notes, config, environment } = await load(
      'storage: { filesystem: { maxthreads: 5 }, cache: { blobdescriptor: redis } }\nredis: { password: hunter2 }\n',
    );
    assert.deepEqual(notes, [
      'These settings have no effect here, and docs/configuration-file.md says why: redis (line 3), storage.cache (line 2), storage.filesystem.maxthreads (line 2).',
    ]);
    // The log of another process with these variables need not repeat it.
    assert.deepEqual(config.warnings, []);
    assert.deepEqual(Object.keys(environment), [
      'REGISTRY_STORAGE',
      'REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY',
    ]);
  });

  it('is told once where defaults differ from those of distribution, deletes first', async () => {
    const { differences } = await load('storage: filesystem\nhttp: { debug: { addr: ":5001" } }');
    assert.equal(
      differences,
      'Defaults that differ from those of distribution: deletes are allowed (storage.delete.enabled); abandoned uploads stay until stowage purge-uploads runs; metrics are at http.debug.addr (http.debug.prometheus.enabled); also those of log.formatter, http.draintimeout, http.workers, health.storagedriver.enabled, validation.manifests.urls. docs/configuration-file.md describes them.',
    );
    const { differences: fewer } = await load(
      'storage: { delete: { enabled: false }, maintenance: { uploadpurging: { enabled: false } } }\nlog: { formatter: text }',
    );
    assert.match(
      fewer,
      /distribution: those of http\.draintimeout, http\.workers, health\.storagedriver\.enabled, /,
    );
  });

  it('never has a secret repeated', async () => {
    const text = `
http: { secret: [hunter2], tls: { certificate: { hunter2: hunter2 } } }
storage: { s3: { secretkey: hunter2 hunter2, bucket: hunter2/x } }
redis: { password: hunter2 }
proxy: { remoteurl: "https://u:hunter2@e.com", password: hunter2 }
`;
    const faults = await faultsOf(text);
    assert.ok(faults.length >= 4);
    assert.doesNotMatch(faults.join(), /hunter2/);
    for (const broken of [
      'a: *hunter2',
      'a: [b] hunter2',
      'a: "b" hunter2',
      '- a\nhunter2: "',
      'a: b\n ]hunter2',
    ])
      assert.doesNotMatch((await faultsOf(`http: { secret: x }\n${broken}`)).join(), /hunter2/, broken);
  });
});

describe('a file that is no configuration file', () => {
  const refusal = async (path: string) => {
    try {
      await loadConfigFile('server', path, {});
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      return error.message;
    }
    return '';
  };

  const aliases = Array.from(
    { length: 9 },
    (_, i) => `a${i + 1}: &a${i + 1} [${Array.from({ length: 10 }, () => `*a${i}`).join()}]`,
  );
  const manyAnchors = Array.from({ length: 4_000 }, (_, i) => `&a${i} x, *a${i}`);
  for (const [name, text, fault] of [
    ['has no version', 'http: {}', /version \(line 1\): missing; write version: 0\.1/],
    ['has another version', 'version: 0.2', /version \(line 1\): must be 0\.1/],
    ['is a list', '[version]', /the file \(line 1\): must be a section/],
    ['has a key twice', 'version: 0.1\nlog:\n  level: info\n  level: debug', /line 4: level is there twice/],
    ['is not YAML', 'version: 0.1\nhttp: [', /line 2: this is not YAML: /],
    ['has two documents', 'version: 0.1\n---\nversion: 0.1', /line 2: this is not YAML: /],
    [
      'has an unknown alias',
      'version: *one',
      /line 1: there is no such alias; a text that begins with \* must be in quotes/,
    ],
    ['grows by aliases', `a0: &a0 [x]\n${aliases.join('\n')}`, /more than 10000 values/],
    ['contains itself', 'a: &a [*a]', /more than 10000 values, or 32 levels/],
    ['is nested too deeply', `a: ${'['.repeat(100)}${']'.repeat(100)}`, /levels/],
    ['has thousands of aliases', `a: &a [x]\nb: [${'*a,'.repeat(9_000)}]`, /more than 10000 values/],
    ['has thousands of anchors', `b: [${manyAnchors.join()}]`, /line 1: /],
    ['has thousands of braces', `b: ${'}'.repeat(250_000)}`, /this is not YAML/],
    ['has thousands of brackets', `b: ${'['.repeat(250_000)}`, /this is not YAML/],
    ['is too large', '# '.padEnd(300_000, 'x'), /has 300000 bytes, and at most 262144 are read/],
    ['is not UTF-8', '\ud800', /version|UTF-8/],
  ] as const)
    it(`is refused when it ${name}`, async () => {
      const start = performance.now();
      assert.match(await refusal(fileOf(text)), fault);
      assert.ok(performance.now() - start < 3000);
    });

  for (const [value, fault] of [
    ['|S3cr3t', /something is out of place here/],
    ['>S3cr3t', /something is out of place here/],
    ['!S3cr3t!abc', /this tag \(!\) does not exist; put a text that begins with ! in quotes/],
    ['!S3cr3t', /tags \(!\) mean nothing here; put a text that begins with ! in quotes/],
    ['!!js/S3cr3t a', /tags \(!\) mean nothing here/],
    ['&S3cr3t', /no alias refers to this anchor \(&\); put a text that begins with & in quotes/],
    ['&S3cr3t abc', /no alias refers to this anchor/],
    ['*S3cr3t', /there is no such alias; a text that begins with \* must be in quotes/],
    ['#S3cr3t', /what begins with # is a comment, so the value is empty; put it in quotes/],
    ['"S3cr3t\\xZZ"', /a backslash in double quotes begins an escape, and this one does not exist/],
    ['"\\S3cr3t"', /a backslash in double quotes/],
    ['@S3cr3t', /a text cannot begin with this character; put it in quotes/],
    ['%S3cr3t', /a text cannot begin with this character/],
    ['"S3cr3t" S3cr3t', /something is out of place here/],
    ['S3cr3t: S3cr3t', /put a text with ": " in quotes/],
    ['{S3cr3t', /this is not YAML/],
    ['[S3cr3t]S3cr3t', /something is out of place here/],
  ] as const)
    it(`is refused without a word of it where a secret is ${value}`, async () => {
      const message = await refusal(fileOf(`version: 0.1\nhttp:\n  secret: ${value}\n`));
      assert.match(message, /line [34]: /);
      assert.match(message, fault);
      assert.doesNotMatch(message, /S3cr/);
    });

  it('may have tags of YAML itself, anchors with aliases, and comments after empty values', async () => {
    const { environment } = await load(
      'auth: none\nstorage: # where\n  filesystem:\n    rootdirectory: !!str /images\n' +
        'http:\n  host: # none\n  secret: &secret 1234567890123456\n  headers: {X-A: [*secret]}\n',
    );
    assert.equal(environment['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'], '/images');
    assert.equal(environment['REGISTRY_HTTP_HEADERS'], '{"X-A":["1234567890123456"]}');
  });

  it('is refused when it does not exist or is a folder', async () => {
    assert.match(await refusal('/no/such.yml'), /\/no\/such\.yml does not exist; correct the argument/);
    assert.match(await refusal('/'), /\/ is a folder; name the file in it/);
  });
});
