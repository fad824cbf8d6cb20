import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { line, right } from '../../access/htpasswd/lines.ts';
import { Client, someName } from '../../functions/client.ts';
import { runToEnd } from '../../infra/run-node.ts';
import { goSources, sourceFile, whyNoSource, type GoSource } from '../../servers/go-sources.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { freePort } from '../../servers/ports.ts';
import { serve, thisVersion } from '../../servers/stowage.ts';
import { fileOf, removeFiles } from './files.ts';

const folder = await temporaryFolder('config-serve');
const passwords = join(folder.path, 'htpasswd');
writeFileSync(
  passwords,
  `${line('user')}
`,
);

after(() => {
  folder.remove();
  removeFiles();
});

/** `stowage serve FILE` */
async function serveFile(file: string, env: NodeJS.ProcessEnv) {
  const version = thisVersion();
  return await serve(folder.path, env, { ...version, server: [...version.server, file] });
}

const debianFile = '/etc/docker/registry/config.yml';
const isDebians =
  existsSync(debianFile) && /path: \/etc\/docker\/registry$/m.test(readFileSync(debianFile, 'utf8'));

interface Shipped {
  readonly name: string;
  readonly file: string;
  /** Why it cannot be tested here. */
  readonly skip: string | undefined;
}

const shipped = (source: GoSource, name: string): Shipped => ({
  name: `${name} of ${goSources[source].module}`,
  file: sourceFile(source, name),
  skip: whyNoSource(source),
});

const sources = Object.keys(goSources) as GoSource[];
const options = ({ skip }: Shipped) => (skip === undefined ? {} : { skip });

describe('stowage serve with a configuration file that distribution ships', () => {
  for (const one of sources.map((source) => shipped(source, 'config-dev.yml')))
    it(`starts with ${one.name} once access control is set`, options(one), async () => {
      const debug = `127.0.0.1:${await freePort()}`;
      const refused = await runToEnd(['serve', one.file], {});
      assert.equal(refused.code, 1);
      assert.equal(refused.output.match(/^ {2}- /gm)?.length, 1, refused.output);
      assert.match(refused.output, /REGISTRY_AUTH: missing, .* set auth: none in the file/);
      const stowage = await serveFile(one.file, { REGISTRY_AUTH: 'none', REGISTRY_HTTP_DEBUG_ADDR: debug });
      try {
        const answer = await fetch(`http://${stowage.address}/v2/`);
        assert.deepEqual([answer.status, answer.headers.get('x-content-type-options')], [200, 'nosniff']);
        await new Client(`http://${stowage.address}`).pushImage(someName(), 'v1');
        const metrics = await (await fetch(`http://${debug}/metrics`)).text();
        assert.match(metrics, /^registry_http_requests_total\{/m);
        assert.match(
          stowage.output(),
          /Defaults that differ from those of distribution: those of log\.formatter, /,
        );
        assert.doesNotMatch(stowage.output(), /deletes are allowed/);
      } finally {
        await stowage.stop();
      }
    });

  const withFolders: readonly Shipped[] = [
    ...sources.map((source) => shipped(source, 'config-example.yml')),
    {
      name: 'the one of Debian',
      file: debianFile,
      skip: isDebians ? undefined : `needs ${debianFile} of Debian's package docker-registry`,
    },
  ];
  for (const one of withFolders)
    it(`starts with ${one.name} once REGISTRY_AUTH_HTPASSWD_PATH names a file`, options(one), async () => {
      const refused = await runToEnd(['serve', one.file], {});
      assert.equal(refused.code, 1);
      assert.equal(refused.output.match(/^ {2}- /gm)?.length, 1, refused.output);
      assert.match(
        refused.output,
        /auth\.htpasswd\.path \(line \d+\): \/etc\/\S+ (?:is a folder|does not exist); set REGISTRY_AUTH_HTPASSWD_PATH to a file/,
      );
      const stowage = await serveFile(one.file, { REGISTRY_AUTH_HTPASSWD_PATH: passwords });
      try {
        const answer = await fetch(`http://${stowage.address}/v2/`);
        assert.match(answer.headers.get('www-authenticate') ?? '', /Basic realm="basic-realm"/);
        const headers = { Authorization: `Basic ${btoa(`user:${right}`)}` };
        assert.equal((await fetch(`http://${stowage.address}/v2/`, { headers })).status, 200);
      } finally {
        await stowage.stop();
      }
    });

  for (const one of sources.map((source) => shipped(source, 'config-cache.yml')))
    it(`starts with ${one.name} as a cache, which takes no pushes`, options(one), async () => {
      const debug = `127.0.0.1:${await freePort()}`;
      const stowage = await serveFile(one.file, { REGISTRY_AUTH: 'none', REGISTRY_HTTP_DEBUG_ADDR: debug });
      try {
        const url = `http://${stowage.address}/v2/library/alpine/blobs/uploads/`;
        const answer = await fetch(url, { method: 'POST' });
        assert.equal(answer.status, 405);
        assert.match(await answer.text(), /this registry is a cache of https:\/\/registry-1\.docker\.io/);
      } finally {
        await stowage.stop();
      }
    });
});

describe('the commands that read a configuration file', () => {
  const text = `version: 0.1
storage:
  filesystem: { rootdirectory: ${folder.path} }
  cache: { blobdescriptor: inmemory }
http:
  addr: :5000
  secret: hunter2-${'x'.repeat(32)}
  tls: { minimumtls: tls1.3 }
auth: { htpasswd: { realm: R, path: ${passwords} } }
search: { backend: { mysql: "root:hunter2@tcp(db:3306)/registry" } }
health:
  http: [{ uri: "https://e.com", headers: { Authorization: [hunter2] } }]
`;

  it('config check prints each setting and where it comes from, without secrets', async () => {
    const { code, output } = await runToEnd(['config', 'check', fileOf(text)], {
      REGISTRY_LOG_LEVEL: 'debug',
      REGISTRY_STORAGE_DELETE_ENABLED: 'false',
    });
    assert.equal(code, 0, output);
    for (const row of [
      /^auth +htpasswd +line 9$/m,
      /^http\.addr +:5000 +line 6$/m,
      /^http\.secret +\(secret\) +line 7$/m,
      /^search\.backend\.mysql +\(secret\) +line 10$/m,
      /^health\.http +\(secret\) +line 12$/m,
      /^log\.level +debug +REGISTRY_LOG_LEVEL$/m,
      /^http\.maxuploads +256 +default$/m,
      /^The images are in /m,
      /^These settings have no effect here, .*: storage\.cache \(line 4\)\.$/m,
      /^The settings in .* are valid\.$/m,
    ])
      assert.match(output, row);
    assert.doesNotMatch(output, /hunter2/);
  });

  it('config check ends with 1 and prints all faults', async () => {
    const file = fileOf('version: 0.1\nhttp: { adr: a }\nproxy: { remoteurl: http://a }\n');
    const { code, output } = await runToEnd(['config', 'check'], { REGISTRY_CONFIGURATION_PATH: file });
    assert.equal(code, 1);
    assert.match(
      output,
      /^Invalid settings in .*\n {2}- http\.adr \(line 2\): .*\n {2}- proxy\.remoteurl \(line 3\): /,
    );
  });

  it('config check looks whether the files exist that the settings name', async () => {
    const file = fileOf(
      'version: 0.1\nauth: { token: { realm: https://a, service: a, issuer: a, jwks: /no/jwks } }\n',
    );
    const { code, output } = await runToEnd(['config', 'check', file], {});
    assert.equal(code, 1);
    assert.match(
      output,
      /auth\.token\.jwks \(line 2\): \/no\/jwks does not exist; set REGISTRY_AUTH_TOKEN_JWKS to a file/,
    );
  });

  it('serve names all files that it cannot read in one message, before it starts', async () => {
    const file = fileOf(
      'version: 0.1\nhttp: { tls: { certificate: /no/cert, key: /no/key } }\nauth: { policy: { path: /no/policy }, htpasswd: { path: /tmp } }\n',
    );
    const { code, output } = await runToEnd(['serve', file], {});
    assert.equal(code, 1);
    assert.match(
      output,
      /^Invalid settings in .*\n(?: {2}- .*\n){4}$/,
      'there must be no line of the log, and all faults',
    );
    for (const fault of [
      /http\.tls\.certificate \(line 2\): \/no\/cert does not exist; /,
      /http\.tls\.key \(line 2\): \/no\/key does not exist; /,
      /auth\.policy\.path \(line 3\): \/no\/policy does not exist; set REGISTRY_AUTH_POLICY_PATH/,
      /auth\.htpasswd\.path \(line 3\): \/tmp is a folder; set REGISTRY_AUTH_HTPASSWD_PATH/,
    ])
      assert.match(output, fault);
    const alone = await runToEnd(['serve'], {
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_PATH: '/nope',
    });
    assert.match(
      alone.output,
      /^Invalid settings:\n {2}- REGISTRY_AUTH_HTPASSWD_PATH: \/nope does not exist; set .* to a file, made by stowage htpasswd/,
    );
  });

  it('token reads the secret of REGISTRY_CONFIGURATION_PATH', async () => {
    const file = fileOf(
      `version: 0.1\nauth: { policy: { path: /etc/policy.yaml, secret: ${'x'.repeat(32)} } }\n`,
    );
    const { code, output } = await runToEnd(['token', 'keys'], { REGISTRY_CONFIGURATION_PATH: file });
    assert.equal(code, 0, output);
    assert.match(output, /^[\w-]{43}\n$/);
  });

  it('config check reads variables alone where there is no file', async () => {
    const { code, output } = await runToEnd(['config', 'check'], {
      REGISTRY_HTTP_ADDR: '127.0.0.1:7',
      REGISTRY_LOGLEVEL: 'debug',
      REGISTRY_LOG_FIELDS_SERVICE: 'images',
    });
    assert.equal(code, 0);
    assert.match(output, /^log\.level +debug +REGISTRY_LOGLEVEL$/m);
    assert.match(output, /^log\.fields +\{"service":"images"\} +REGISTRY_LOG_FIELDS_SERVICE$/m);
    assert.match(output, /^Defaults that differ from those of distribution: deletes are allowed/m);
    assert.doesNotMatch(output, /http\.debug\.addr/, 'nothing listens there');
    assert.match(output, /^http\.addr +127\.0\.0\.1:7 +REGISTRY_HTTP_ADDR$/m);
    assert.match(output, /^The settings are valid\.$/m);
  });

  it('purge-uploads and reindex find the storage in the file', async () => {
    const file = fileOf(`version: 0.1\nstorage: { filesystem: { rootdirectory: ${folder.path} } }\n`);
    const purged = await runToEnd(['purge-uploads', '--dry-run', file], {});
    assert.equal(purged.code, 0, purged.output);
    assert.ok(purged.output.includes(`looking for abandoned uploads in ${folder.path}`));
    const reindexed = await runToEnd(['reindex'], { REGISTRY_CONFIGURATION_PATH: file });
    assert.equal(reindexed.code, 0, reindexed.output);
    const missing = await runToEnd(['reindex', '/no/such.yml'], {});
    assert.equal(missing.code, 1);
    assert.match(missing.output, /\/no\/such\.yml does not exist/);
  });
});
