import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, loadConfig } from '../../lib/config/config.ts';
import { describeStorage, type StorageConfig } from '../../lib/config/storage.ts';

type Environment = Readonly<Record<string, string>>;

const scs = (settings: Environment): Environment =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`REGISTRY_STORAGE_SCS_${name}`, value]),
  );

const four = scs({ ACCESSKEY: 'key', SECRETKEY: 'sec/ret+', REGION: 'bjctc', BUCKET: 'My-Images' });

const storageOf = (environment: Environment): StorageConfig => loadConfig('server', environment).storage;

function faultsOf(environment: Environment): readonly string[] {
  try {
    loadConfig('server', environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}

describe('a bucket of SCS', () => {
  it('a bucket of SCS is configured by its four settings', () => {
    assert.deepEqual(storageOf(four), {
      kind: 'scs',
      bucket: 'my-images',
      accessKey: 'key',
      secretKey: 'sec/ret+',
      region: 'bjctc',
      endpoint: 'http://bjctc.scs.sohucs.com',
      rootDirectory: '',
      partSize: 10 * 1024 ** 2,
      skipVerify: false,
    });
  });

  const hosts: Environment = {
    bjcnc: 'bjcnc.scs.sohucs.com',
    bjctc: 'bjctc.scs.sohucs.com',
    shctc: 'shctc.scs.sohucs.com',
    gzctc: 'gzctc.scs.sohucs.com',
    'bjcnc-internal': 'bjcnc.scs-in.sohucs.com',
    'bjctc-internal': 'bjctc.scs-in.sohucs.com',
    'shctc-internal': 'shctc.scs-in.sohucs.com',
    'gzctc-internal': 'gzctc.scs-in.sohucs.com',
  };
  for (const [region, host] of Object.entries(hosts))
    it(`a bucket of SCS in ${region} is at ${host}, by https if configured`, () => {
      const at = (more: Environment) => {
        const storage = storageOf({ ...four, ...scs({ REGION: region, ...more }) });
        return storage.kind === 'scs' ? storage.endpoint : storage.kind;
      };
      assert.equal(at({}), `http://${host}`);
      assert.equal(at({ SECURE: 'true' }), `https://${host}`);
    });

  it('a bucket of SCS of another installation needs no region', () => {
    const storage = storageOf({ ...four, ...scs({ REGION: '', REGIONENDPOINT: 'scs.example.com:8080' }) });
    assert.equal(describeStorage(storage), 'the bucket my-images (http://scs.example.com:8080)');
  });

  it('takes a chunk size and a root directory', () => {
    const storage = storageOf({
      ...four,
      ...scs({ CHUNKSIZE: '5242880', ROOTDIRECTORY: '/team/registry/' }),
    });
    assert.ok(storage.kind === 'scs');
    assert.deepEqual([storage.partSize, storage.rootDirectory], [5242880, 'team/registry']);
  });

  it('a bucket of SCS may be named beside another store', () => {
    const both = { ...four, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/srv/images' };
    assert.match(
      faultsOf(both).join('\n'),
      /^REGISTRY_STORAGE: more than one .*; set it to filesystem or scs$/,
    );
    assert.equal(storageOf({ ...both, REGISTRY_STORAGE: 'SCS' }).kind, 'scs');
    assert.equal(storageOf({ ...both, REGISTRY_STORAGE: 'filesystem' }).kind, 'filesystem');
  });

  it('a bucket of SCS that is not configured lists all missing settings', () => {
    const names = faultsOf({ REGISTRY_STORAGE: 'scs' }).map((fault) => fault.replace(/:.*/s, ''));
    assert.deepEqual(
      names.sort(),
      ['ACCESSKEY', 'BUCKET', 'REGION', 'SECRETKEY'].map((name) => `REGISTRY_STORAGE_SCS_${name}`),
    );
  });

  const faults: Readonly<Record<string, [Environment, RegExp]>> = {
    'a region that does not exist': [
      { REGION: 'bjcnc-x' },
      /_REGION: "bjcnc-x" is not one of bjcnc, bjctc, /,
    ],
    'a region of another kind': [{ REGION: 'constructor' }, /_REGION: "constructor" is not one of /],
    'chunks under 5 MiB': [{ CHUNKSIZE: '5242879' }, /_CHUNKSIZE: "5242879" is not .* from 5242880 /],
    'a name that no bucket has': [{ BUCKET: 'a/b' }, /_BUCKET: it is not a valid/],
    'a key with a space': [{ SECRETKEY: 'se cret' }, /_SECRETKEY: must be ASCII without spaces$/],
    'an endpoint with a bucket': [{ REGIONENDPOINT: 'http://h/b' }, /_REGIONENDPOINT: not the base URL/],
    'a setting that there is not': [{ ENCRYPT: 'true' }, /_ENCRYPT: no such setting/],
  };
  for (const [name, [wrong, told]] of Object.entries(faults))
    it(`a bucket of SCS with one fault: ${name}`, () => {
      const found = faultsOf({ ...four, ...scs(wrong) });
      assert.equal(found.length, 1);
      assert.match(found[0] ?? '', told);
    });

  it('a bucket of SCS needs no data plane for functions to send pulls to it', () => {
    const functions = { ...four, REGISTRY_HTTP_SECRET: 'secret' };
    assert.equal(loadConfig('functions', functions).storage.kind, 'scs');
  });
});
