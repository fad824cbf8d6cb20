import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { ConfigError, loadConfig, readConfig } from '../lib/config/config.ts';
import { settingTable } from '../lib/config/setting-table.ts';
import { Settings } from '../lib/config/settings.ts';
import { isSectionName, knownSetting, variableOf } from '../lib/config/variables.ts';
import { anchorsOf, linksIn, settingsIn, withoutCode } from './docs.ts';

const root = resolve(import.meta.dirname, '..');
const pages = globSync('{*.md,.github/**/*.md,docs/**/*.md,test/fixtures/*.md}', { cwd: root }).sort();
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

const settingsPage = 'docs/configuration.md';

describe('the documentation', () => {
  it('keeps the README within 150 lines', () => {
    assert.ok(textOf('README.md').trimEnd().split('\n').length <= 150);
  });

  it('links to no file or heading that does not exist', () => {
    const dead = pages.flatMap((page) =>
      linksIn(textOf(page))
        .filter((link) => !leadsSomewhere(page, link))
        .map((link) => `${page}: ${link}`),
    );
    assert.deepEqual(dead, []);
  });

  it('links to no file that the npm package lacks', () => {
    const { files } = JSON.parse(textOf('package.json')) as { files: readonly string[] };
    const packed = new Set(globSync([...files, 'README.md', 'LICENSE', 'package.json'], { cwd: root }));
    const dead = [...packed]
      .filter((file) => file.endsWith('.md'))
      .flatMap((page) => linksIn(textOf(page)).map((link) => ({ page, link })))
      .filter(({ page, link }) => !packed.has(relative(root, targetOf(page, link).path)));
    assert.deepEqual(dead, []);
  });

  it('links to each page in docs/', () => {
    const linked = new Set(
      pages.flatMap((page) => linksIn(textOf(page)).map((link) => targetOf(page, link).path)),
    );
    const orphans = pages.filter((page) => page.startsWith('docs/') && !linked.has(join(root, page)));
    assert.deepEqual(orphans, []);
  });

  it('names no source file or folder that does not exist', () => {
    const named = pages.flatMap((page) =>
      [...textOf(page).matchAll(/`((?:functions|lib|infra|test|docs)\/[\w./-]*)`/g)].map(
        ([, path = '']) => `${page}: ${path}`,
      ),
    );
    assert.ok(named.length > 10);
    // The changelog tells of what was.
    const missing = named.filter((one) => !existsSync(join(root, one.split(': ')[1] ?? '')));
    assert.deepEqual(
      missing.filter((one) => !one.startsWith('CHANGELOG.md')),
      [],
    );
  });

  it('names no npm script that does not exist', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const named = pages.flatMap((page) => [...textOf(page).matchAll(/\bnpm run ([a-z][\w:-]*)/g)]);
    const unknown = named.map(([, script = '']) => script).filter((script) => !(script in scripts));
    assert.deepEqual(unknown, []);
  });
});

describe('the documentation of settings', () => {
  const known = knownSettings();
  const rows = tableOf(textOf(settingsPage), '## All settings');

  it('docs/configuration.md has a row for each setting that the code reads and no others', () => {
    assert.ok(known.size > 40);
    // PORT is npm start's own.
    assert.deepEqual([...rows].sort(), [...known, 'PORT'].sort());
  });

  it('documentation names only settings that the code reads or refuses', () => {
    const ofPodman = 'REGISTRY_AUTH_FILE';
    assert.doesNotThrow(() => {
      load({ [ofPodman]: '/run/containers/auth.json' });
    });
    const invented = pages.flatMap((page) =>
      settingsIn(textOf(page))
        .filter((name) => name !== ofPodman && !isKnown(known, name) && !isInTable(name))
        .map((name) => `${page}: ${name}`),
    );
    assert.deepEqual(invented, []);
  });
});

describe('a page of Markdown', () => {
  it('finds links in Markdown outside of code', () => {
    const page =
      'A [link](a.md#b) and `[no](c.md)`.\n\n```sh\n[no](d.md)\n```\n[site](https://example.com) [e]( f.md )';
    assert.deepEqual(linksIn(page), ['a.md#b', 'f.md']);
  });

  it('gives headings in Markdown the anchors of GitHub', () => {
    const page = '# `A b`, c!\n## Two  words\n## A-b_c\n## Same\n## Same\n```\n# no heading\n```\n';
    assert.deepEqual(anchorsOf(page), ['a-b-c', 'two--words', 'a-b_c', 'same', 'same-1']);
  });

  it('finds names and prefixes of settings in Markdown', () => {
    const text = '`REGISTRY_HTTP_ADDR=:5000` `REGISTRY_STORAGE_S3_…` `REGISTRY_*` SEARCH_BACKEND*';
    assert.deepEqual(settingsIn(text), ['REGISTRY_HTTP_ADDR', 'REGISTRY_STORAGE_S3_', 'SEARCH_BACKEND']);
  });
});

/** Absolute path of a link's file, and its anchor. */
function targetOf(page: string, link: string): { path: string; anchor: string | undefined } {
  const [file = '', anchor] = link.split('#');
  return { path: file === '' ? join(root, page) : resolve(root, dirname(page), file), anchor };
}

function leadsSomewhere(page: string, link: string): boolean {
  const { path, anchor } = targetOf(page, link);
  if (!existsSync(path) || relative(root, path).startsWith('..')) return false;
  return anchor === undefined || anchorsOf(readFileSync(path, 'utf8')).includes(anchor);
}

/** All names that the code asks an environment for, with every store and list configured. */
function knownSettings(): Set<string> {
  const settings = new Settings({
    REGISTRY_STORAGE_S3_BUCKET: 'images',
    REGISTRY_STORAGE_SCS_BUCKET: 'images',
  });
  assert.throws(() => readConfig('server', settings), ConfigError);
  return new Set(settings.used.map(({ name }) => name));
}

function load(environment: Record<string, string>): void {
  loadConfig('server', environment);
}

/** Settings of distribution, also those that have no effect or are refused; and names that are no settings. */
function isInTable(name: string): boolean {
  const others = ['REGISTRY_A_B_C', 'REGISTRY_PORT'];
  return (
    others.includes(name) ||
    knownSetting(name) !== undefined ||
    isSectionName(name) ||
    isKnown(new Set(Object.keys(settingTable).map(variableOf)), name)
  );
}

/** A name that ends with an underscore is the beginning of several. */
function isKnown(known: ReadonlySet<string>, name: string): boolean {
  return known.has(name) || (name.endsWith('_') && [...known].some((one) => one.startsWith(name)));
}

/** What follows a heading, up to the next one. */
function sectionOf(page: string, heading: string): string {
  const start = page.indexOf(`\n${heading}`);
  assert.ok(start >= 0, `there is no heading ${heading}`);
  const rest = page.slice(start + 1 + heading.length);
  const end = withoutCode(rest).search(/\n#/);
  return end < 0 ? rest : rest.slice(0, end);
}

/** The names in the first column of the table below a heading. */
function tableOf(page: string, heading: string): string[] {
  return [...sectionOf(page, heading).matchAll(/^\| `([A-Z][A-Z0-9_]*)/gm)].map(([, name = '']) => name);
}
