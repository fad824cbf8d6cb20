import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { functionNames, thirdPartyFile } from '../../infra/gateway.ts';
import { thirdPartyLicenses } from '../../infra/third-party.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { runBuild } from './run-node.ts';

const root = join(import.meta.dirname, '../..');
const dist = join(root, 'dist');

it('a build keeps the files of a concurrent build and leaves no others', async () => {
  const build = async () => {
    const { code, output } = await runBuild();
    assert.equal(code, 0, output);
  };
  await build();
  const needed = [
    ...functionNames.map((name) => join(dist, 'functions', `${name}.mjs`)),
    join(dist, 'stowage.mjs'),
  ];
  const stale = join(dist, 'functions', 'of-an-older-build.mjs');
  writeFileSync(stale, '');
  const missing = new Set<string>();
  const watch = setInterval(() => {
    for (const file of needed) if (!existsSync(file)) missing.add(file);
  });
  await build();
  clearInterval(watch);
  assert.deepEqual([...missing], []);
  assert.ok(!existsSync(stale));
});

/** The folders of packages that a bundle has code of, as its source map says. */
function packagesIn(map: string): ReadonlySet<string> {
  const { sources } = JSON.parse(readFileSync(map, 'utf8')) as { sources: readonly string[] };
  const paths = sources.map((source) => join(dirname(map), source));
  return new Set(paths.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []));
}

describe('the licences of third parties', () => {
  it('licences of all bundled packages stand beside the bundles', () => {
    const licenses = readFileSync(join(root, thirdPartyFile), 'utf8');
    const rows = licenses.split('\n');
    const headings = new Set(
      rows.flatMap((row, i) => (rows[i - 1] === '-'.repeat(80) ? row.split(', ') : [])),
    );
    const maps = globSync('**/*.mjs.map', { cwd: dist });
    for (const bundle of ['functions', 'stowage']) {
      const packages = maps
        .filter((map) => map.startsWith(bundle))
        .flatMap((map) => [...packagesIn(join(dist, map))]);
      assert.ok(packages.length > 20, `${bundle}: ${packages.length}`);
      for (const folder of new Set(packages)) {
        const own = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
        const title = `${own['name']} ${own['version']}`;
        const row = rows.find((line) => line.startsWith(`${title} (${own['license']}), in `));
        assert.ok(row?.includes(bundle), `${title} is in ${bundle}: ${row}`);
        for (const file of globSync('{LICENSE,LICENCE,License,license,NOTICE}*', { cwd: folder }))
          assert.ok(
            licenses.includes(readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n').trim()),
            `${title}: ${file}`,
          );
        assert.ok(headings.has(title), `there is no text for ${title}`);
      }
    }
  });

  it('every function contains the licences of its packages', () => {
    const functions = JSON.parse(readFileSync(join(dist, 'functions.json'), 'utf8')) as Record<
      string,
      { readonly package: { readonly patterns: readonly string[] } }
    >;
    assert.deepEqual(Object.keys(functions).sort(), [...functionNames].sort());
    for (const [name, { package: one }] of Object.entries(functions))
      assert.ok(one.patterns.includes(thirdPartyFile), name);
  });

  const withPackage = async (own: object, files: Readonly<Record<string, string>> = {}) => {
    const folder = await temporaryFolder('infra-third-party');
    const one = join(folder.path, 'node_modules/@some/one');
    mkdirSync(one, { recursive: true });
    writeFileSync(join(folder.path, 'LICENSE'), 'Apache License');
    writeFileSync(join(one, 'package.json'), JSON.stringify({ name: '@some/one', version: '1.0.0', ...own }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(one, name), text);
    const input = relative(folder.path, join(one, 'lib/index.js'));
    const output = { inputs: { [input]: { bytesInOutput: 1 } } };
    const outputs = { 'dist/stowage/chunk.mjs': output } as unknown as Parameters<
      typeof thirdPartyLicenses
    >[1][number]['outputs'];
    try {
      return await thirdPartyLicenses(folder.path, [{ inputs: {}, outputs }]);
    } finally {
      folder.remove();
    }
  };

  it('licences include the notices of a package', async () => {
    const text = await withPackage(
      { license: 'MIT' },
      { 'LICENSE-MIT.txt': 'one\r\ntwo\n', NOTICE: 'Of us.' },
    );
    assert.match(text, /\n@some\/one 1\.0\.0 \(MIT\), in stowage\n/);
    assert.match(text, /-\n@some\/one 1\.0\.0\n\none\ntwo\n\nOf us\.\n$/);
  });

  it('the standard licence text is used if a package only names its licence', async () => {
    assert.match(
      await withPackage({ license: 'MIT', author: 'A. N. Other' }),
      /Copyright \(c\) A\. N\. Other\n/,
    );
    const withoutConditions = await withPackage({ license: 'MIT-0', author: 'A. N. Other' });
    assert.match(
      withoutConditions,
      /Copyright \(c\) A\. N\. Other\n\n[^"]*"Software"\)[^:]*do so\.\n\nTHE SOFTWARE/,
    );
    assert.match(await withPackage({ license: 'Apache-2.0' }), /\n\nApache License\n$/);
  });

  it('a package without a known licence stops the build', async () => {
    for (const own of [{ license: 'GPL-3.0' }, {}])
      await assert.rejects(withPackage(own), /^Error: @some\/one has no licence text/);
  });
});
