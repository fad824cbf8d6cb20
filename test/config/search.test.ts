import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig, type Config, type Program } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

type Environment = Readonly<Record<string, string>>;

const dsn = 'registry:hunter2@tcp(10.0.0.5:3306)/registry?loc=Local&parseTime=true';

const searchOf = (environment: Environment, program: Program = 'server'): Config['search'] =>
  loadConfig(program, environment).search;

describe('the settings of the list of repositories', () => {
  it('the list of repositories is the bucket by default', () => {
    assert.deepEqual(searchOf({}), { kind: 'bucket' });
    assert.deepEqual(searchOf({ SEARCH_BACKEND: '', SEARCH_BACKEND_MYSQL: ' ' }), { kind: 'bucket' });
  });

  it('SEARCH_BACKEND=MYSQL takes a DSN', () => {
    for (const SEARCH_BACKEND of ['MYSQL', 'mysql']) {
      const search = searchOf({ SEARCH_BACKEND, SEARCH_BACKEND_MYSQL: dsn });
      assert.equal(search.kind, 'mysql');
      assert.partialDeepStrictEqual(search.mysql, { user: 'registry', database: 'registry' });
    }
  });

  it('SEARCH_BACKEND=LOCAL takes a file, by default that of the original registry', () => {
    assert.deepEqual(searchOf({ SEARCH_BACKEND: 'LOCAL' }), {
      kind: 'local',
      path: '/opt/registry/repositories',
    });
    assert.deepEqual(searchOf({ SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: '/srv/list' }), {
      kind: 'local',
      path: '/srv/list',
    });
  });

  for (const [environment, fault] of [
    [{ SEARCH_BACKEND: 'REDIS' }, /^SEARCH_BACKEND: "REDIS" is not one of MYSQL, LOCAL$/],
    [{ SEARCH_BACKEND: 'MYSQL' }, /^SEARCH_BACKEND_MYSQL: missing; .* such as user:password@tcp/],
    [{ SEARCH_BACKEND_MYSQL: dsn }, /^SEARCH_BACKEND_MYSQL: has no effect without SEARCH_BACKEND=MYSQL/],
    [{ SEARCH_BACKEND_LOCAL: '/x' }, /^SEARCH_BACKEND_LOCAL: has no effect without SEARCH_BACKEND=LOCAL/],
    [
      { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_MYSQL: dsn },
      /^SEARCH_BACKEND_MYSQL: has no effect without SEARCH_BACKEND=MYSQL; set that, or remove it$/,
    ],
    [
      { SEARCH_BACKEND: 'MYSQL', SEARCH_BACKEND_MYSQL: dsn, SEARCH_BACKEND_LOCAL: '/x' },
      /^SEARCH_BACKEND_LOCAL: has no effect without SEARCH_BACKEND=LOCAL; set that, or remove it$/,
    ],
    [
      { SEARCH_BACKEND: 'MYSQL', SEARCH_BACKEND_MYSQL: 'u:hunter2@h/db' },
      /^SEARCH_BACKEND_MYSQL: the network/,
    ],
    [{ SEARCH_BACKEND_FILE: '/x' }, /^SEARCH_BACKEND_FILE: no such setting/],
  ] as const)
    it(`settings of the list are refused with ${Object.keys(environment).join(' and ')}: ${fault.source}`, () => {
      const faults = faultsOf(environment);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
      assert.ok(!faults.join('').includes('hunter2'));
    });

  it('settings of the list refuse a file on the local disk of Lambda and accept one on a mounted file system', () => {
    const lambda = {
      AWS_LAMBDA_FUNCTION_NAME: 'catalog',
      REGISTRY_AUTH: 'none',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
      REGISTRY_HTTP_SECRET: 'hunter2',
      SEARCH_BACKEND: 'LOCAL',
    };
    const own = [
      '',
      '/tmp/list',
      '/tmp',
      '/var/../tmp/x',
      '/mnt/../tmp/x',
      '/opt/registry/repositories',
      'list',
      '/mnt',
    ];
    for (const SEARCH_BACKEND_LOCAL of own)
      for (const program of ['functions', 'maintenance'] as const)
        assert.match(
          faultsOf({ ...lambda, SEARCH_BACKEND_LOCAL }, program).join(),
          /SEARCH_BACKEND_LOCAL: Lambda's disk/,
        );
    assert.deepEqual(faultsOf({ ...lambda, SEARCH_BACKEND_LOCAL: '/mnt/lists/list' }, 'functions'), []);
  });
});
