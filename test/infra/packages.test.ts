import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { functionNames, isHttpFunction } from '../../infra/gateway.ts';
import {
  describePackages,
  featuresOf,
  filesOf,
  packagesFile,
  type Packages,
} from '../../infra/packages/packages.ts';
import { Chunks } from '../../infra/packages/chunks.ts';
import { assertPackagesSmall, sizesOf } from '../../infra/packages/sizes.ts';
import { withSources } from '../../infra/packages/stack-trace.ts';
import { runBuild, runNode } from './run-node.ts';

const root = join(import.meta.dirname, '../..');

/** Sources by what they are for, as source maps have them, with the functions that may carry them. */
const sources = {
  'a client of MySQL': [/\/node_modules\/mysql2\//, ['catalog', 'search', 'manifests', 'reindex', 'all']],
  'what issues tokens': [/\/lib\/access\/(tokens\/service|oidc\/verifier)\.ts$/, ['token']],
  'what checks tokens': [/\/lib\/access\/tokens\/policy-access\.ts$/, functionNames.filter(isHttpFunction)],
  'what reads policies': [
    /\/lib\/access\/policy\/parse\.ts$/,
    [...functionNames.filter(isHttpFunction), 'gc'],
  ],
  'the threads of bcrypt': [
    /\/lib\/access\/htpasswd\/bcrypt-worker\.ts$/,
    functionNames.filter(isHttpFunction),
  ],
  'a store in a folder': [/\/lib\/storage\/filesystem\//, []],
  'a list in a file': [/\/lib\/search\/file\//, []],
  'AWS credentials of a machine': [/\/node_modules\/@smithy\/credential-provider-imds\//, []],
  'the command and the server': [new RegExp(`^${root}/lib/(commands|server)/`), []],
} as const satisfies Record<string, readonly [RegExp, readonly string[]]>;

describe('the packages of functions', () => {
  let packages: Packages;

  before(async () => {
    const { code, output } = await runBuild();
    assert.equal(code, 0, output);
    packages = JSON.parse(readFileSync(join(root, packagesFile), 'utf8')) as Packages;
  });

  const packageOf = (name: string) => {
    const one = packages[name];
    assert.ok(one !== undefined, name);
    return one;
  };

  const sourcesByFile = new Map<string, string[]>();

  /** The sources of which a function's package has code. */
  const sourcesOf = (name: string) =>
    filesOf(packageOf(name))
      .filter((file) => file.endsWith('.mjs'))
      .flatMap((file) => {
        const known = sourcesByFile.get(file) ?? sourcesIn(file);
        sourcesByFile.set(file, known);
        return known;
      });

  for (const [what, [pattern, carriers]] of Object.entries(sources))
    it(`${what}: in ${carriers.join(', ') || 'no package'}`, () => {
      const found = functionNames.filter((name) => sourcesOf(name).some((source) => pattern.test(source)));
      assert.deepEqual(found.sort(), [...carriers].sort());
    });

  it('have files that exist, and no source map', () => {
    for (const name of functionNames)
      for (const file of filesOf(packageOf(name))) {
        assert.ok(existsSync(join(root, file)), `${name}: ${file}`);
        assert.doesNotMatch(file, /\.map$/);
      }
  });

  it('leave out what a deployment does not have', () => {
    const deployment = { storage: 's3', search: 'bucket', auth: 'policy', settings: {} } as const;
    assert.deepEqual(featuresOf(deployment), ['s3', 'policy']);
    const others = {
      storage: 'scs',
      search: 'mysql',
      auth: 'htpasswd',
      settings: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', REGISTRY_METRICS_CLOUDWATCH_NAMESPACE: 'n' },
    } as const;
    assert.deepEqual(featuresOf(others), ['scs', 'mysql', 'htpasswd', 'tracing', 'cloudwatch']);
    const size = (wanted: typeof deployment | typeof others) =>
      sizesOf(packageOf('manifests'), featuresOf(wanted), (file) => readFileSync(join(root, file)));
    const [small, large] = [size(deployment), size(others)];
    assert.ok(small.zipped < 0.6 * large.zipped, JSON.stringify({ small, large }));
    assert.equal(small.start, large.start);
  });

  it('stop a build when they are too large', () => {
    const read = (file: string) => readFileSync(join(root, file));
    assertPackagesSmall(packages, read);
    const { tags } = packages;
    assert.ok(tags !== undefined);
    const mysql = packageOf('catalog').byFeature.mysql;
    const heavy = { ...tags, onDemand: [...tags.onDemand, ...mysql] };
    assert.throws(() => {
      assertPackagesSmall({ tags: heavy, base: packageOf('base') }, read);
    }, /^Error: packages are too large, which infra\/packages\/optional\.ts may help: tags has \d+ bytes, more than \d+$/);
  });

  it('stop a build when the table of optional modules is out of date', () => {
    assert.throws(
      () => describePackages(new Chunks({ inputs: {}, outputs: {} })),
      /^Error: nothing loads lib\/storage\/s3\/store\.ts, .* on demand: correct infra\/packages\/optional\.ts$/,
    );
  });

  it('have no way of AWS credentials but the environment', () => {
    const ways = new Set(
      functionNames
        .flatMap(sourcesOf)
        .flatMap((source) => /credential-provider-([a-z]+)\//.exec(source)?.[1] ?? []),
    );
    assert.deepEqual([...ways].sort(), ['env', 'node']);
  });

  it('load few files at their start', () => {
    // `all` also has the handlers of each other function, in files of their own.
    for (const name of functionNames.filter((one) => one !== 'all')) {
      const { start } = packageOf(name);
      assert.ok(start.length <= 6, `${name}: ${start.join(', ')}`);
    }
  });

  it('load few files at their first request', () => {
    const first = /\/(store|agent|compose-policy|compose-secrets)-\w+\.mjs$/;
    const files = filesOf(packageOf('blobs'), ['s3', 'policy']).filter((file) => first.test(file));
    const loaded = new Set(packageOf('blobs').start);
    const atStart = loaded.size;
    for (const file of files) load(file, loaded);
    assert.ok(loaded.size > atStart + 3, [...loaded].join(', '));
    assert.ok(loaded.size <= atStart + 7, [...loaded].join(', '));
  });

  it('load none of the modules of Node that cost much and that they do not use', async () => {
    const entry = JSON.stringify(join(root, 'dist/functions/base.mjs'));
    const program = `
      const { handler } = await import(${entry});
      const http = { method: 'GET', path: '/v2/', sourceIp: '192.0.2.1' };
      const event = { version: '2.0', rawPath: '/v2/', rawQueryString: '', headers: {}, requestContext: { http, requestId: 'a' } };
      const { statusCode } = await handler(event, { getRemainingTimeInMillis: () => 10000 });
      console.log(JSON.stringify([statusCode, ...process.moduleLoadList.map((module) => module.split(' ').at(-1))]));
      process.exit();`;
    const { output } = await runNode(['--input-type=module', '--eval', program], {
      REGISTRY_AUTH: 'none',
      REGISTRY_HTTP_SECRET: 'h'.repeat(64),
      REGISTRY_LOG_LEVEL: 'error',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
    });
    const [status, ...loaded] = JSON.parse(output) as [number, ...string[]];
    assert.equal(status, 200);
    assert.ok(loaded.includes('crypto'), loaded.join(', '));
    const files = ['internal/fs/promises', 'internal/fs/streams'];
    const unused = [...files, 'internal/deps/undici/undici', 'assert', 'http2', 'worker_threads', 'zlib'];
    assert.deepEqual(
      unused.filter((module) => loaded.includes(module)),
      [],
    );
  });

  it('have stack traces that name the sources', async () => {
    const entry = JSON.stringify(join(root, 'dist/functions/base.mjs'));
    const program = `await (await import(${entry})).handler({}, { getRemainingTimeInMillis: () => 1000 })`;
    const { output } = await runNode(['--input-type=module', '--eval', program], {});
    const trace = withSources(output.replaceAll(root, '/var/task'), root);
    assert.match(
      trace,
      /at requestId \(lib\/lambda\/handler\.ts:\d+:\d+\)|at lib\/lambda\/handler\.ts:\d+:\d+/,
    );
    assert.doesNotMatch(trace, /dist\/functions/);
    const unknown = 'at a (file:///var/task/dist/functions/chunks/chunk-OTHER.mjs:1:2)';
    assert.equal(withSources(unknown, root), unknown);
  });
});

/** Adds a file and its static imports. */
function load(file: string, loaded: Set<string>): void {
  if (loaded.has(file)) return;
  loaded.add(file);
  const imports = readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import)"(\.[^"]+\.mjs)"/g);
  for (const [, imported = ''] of imports) load(join(file, '..', imported), loaded);
}

function sourcesIn(file: string): string[] {
  const map = JSON.parse(readFileSync(join(root, `${file}.map`), 'utf8')) as { sources: string[] };
  return map.sources.map((source) => join(root, file, '..', source));
}
