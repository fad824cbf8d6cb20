import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig, type Config, type Program } from '../../lib/config/config.ts';
import { faultsOf } from './faults.ts';

const load = (settings: NodeJS.ProcessEnv, program: Program = 'server'): Config =>
  loadConfig(program, { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/images', ...settings });

describe('the settings of how the server listens', () => {
  it('a Unix socket is a path, and needs REGISTRY_AUTH, since a proxy opens it to others', () => {
    const unix = { REGISTRY_HTTP_NET: 'unix', REGISTRY_HTTP_ADDR: '/run/registry.sock' };
    assert.deepEqual(load({ ...unix, REGISTRY_AUTH: 'none' }).address, { path: '/run/registry.sock' });
    assert.match(
      faultsOf(unix)[0] ?? '',
      /^REGISTRY_AUTH: missing.*REGISTRY_AUTH=none REGISTRY_HTTP_NET=unix REGISTRY_HTTP_ADDR=\/run\/registry\.sock stowage serve$/,
    );
  });

  it('a Unix socket needs a path that fits', () => {
    const open = { REGISTRY_HTTP_NET: 'unix', REGISTRY_AUTH: 'none' };
    assert.match(
      faultsOf(open)[0] ?? '',
      /^REGISTRY_HTTP_ADDR: missing; REGISTRY_HTTP_NET=unix needs a path/,
    );
    assert.match(
      faultsOf({ ...open, REGISTRY_HTTP_ADDR: `/${'a'.repeat(120)}` })[0] ?? '',
      /^REGISTRY_HTTP_ADDR: has more than 107 bytes/,
    );
    assert.match(faultsOf({ REGISTRY_HTTP_NET: 'udp' })[0] ?? '', /"udp" is not one of tcp, unix$/);
  });

  it('a prefix begins and ends with a slash', () => {
    assert.equal(load({}).prefix, '');
    assert.equal(load({ REGISTRY_HTTP_PREFIX: '/' }).prefix, '');
    assert.equal(load({ REGISTRY_HTTP_PREFIX: '/my/prefix/' }).prefix, '/my/prefix');
    for (const prefix of ['/my', 'my/', '//', '/a//b/', '/../', '/a/./', '/a b/', '/%61/', '/a?b/'])
      assert.match(
        faultsOf({ REGISTRY_HTTP_PREFIX: prefix })[0] ?? '',
        /^REGISTRY_HTTP_PREFIX: must begin and end/,
      );
  });

  it('the base URL of the registry may repeat the prefix, and that of the data plane may have a path', () => {
    const prefix = { REGISTRY_HTTP_PREFIX: '/my/prefix/' };
    for (const url of ['https://a', 'https://a/', 'https://a/my/prefix', 'https://a/my/prefix/'])
      assert.equal(load({ ...prefix, REGISTRY_HTTP_HOST: url }).host, 'https://a');
    assert.match(faultsOf({ ...prefix, REGISTRY_HTTP_HOST: 'https://a/other' })[0] ?? '', /without path/);
    const functions = { REGISTRY_HTTP_SECRET: 's'.repeat(32), REGISTRY_HTTP_DATAPLANE: 'https://a/data/' };
    assert.equal(load(functions, 'functions').dataPlane, 'https://a/data');
  });

  it('headers are a map of lists, or of single values', () => {
    const headers =
      '{X-Frame-Options: [DENY], "Strict-Transport-Security": "max-age=300", X-Two: [1, "b c"]}';
    assert.deepEqual(load({ REGISTRY_HTTP_HEADERS: headers }).headers, {
      'X-Frame-Options': ['DENY'],
      'Strict-Transport-Security': ['max-age=300'],
      'X-Two': ['1', 'b c'],
    });
  });

  it('headers that HTTP or the registry needs are refused, and so are invalid names and values', () => {
    const faults = faultsOf({
      REGISTRY_HTTP_HEADERS: JSON.stringify({
        'content-length': ['1'],
        'Transfer-Encoding': ['chunked'],
        Location: ['/'],
        'Docker-Content-Digest': ['a'],
        'OCI-Subject': ['a'],
        ':status': ['200'],
        'a b': ['c'],
        Empty: [],
        Nested: [{}],
        Lines: ['a\r\nSet-Cookie: b'],
        Fine: ['yes'],
      }),
    });
    const own = 'is a header that the registry itself sets or HTTP needs; remove it';
    const texts = 'must have a list of texts in printable ASCII';
    assert.deepEqual(
      faults,
      [
        `content-length ${own}`,
        `Transfer-Encoding ${own}`,
        `Location ${own}`,
        `Docker-Content-Digest ${own}`,
        `OCI-Subject ${own}`,
        '":status" is no name of a header',
        '"a b" is no name of a header',
        `Empty ${texts}`,
        `Nested ${texts}`,
        `Lines ${texts}`,
      ].map((fault) => `REGISTRY_HTTP_HEADERS: ${fault}`),
    );
    assert.match(
      faultsOf({ REGISTRY_HTTP_HEADERS: '[a, b]' })[0] ?? '',
      /must be a map of each header to a list/,
    );
  });

  it('HTTP/2 without TLS is off unless it is enabled', () => {
    assert.equal(load({}).http2, false);
    assert.equal(load({ REGISTRY_HTTP_HTTP2_DISABLED: 'false' }).http2, false);
    assert.equal(load({ REGISTRY_HTTP_H2C_ENABLED: 'true' }).http2, true);
  });
});
