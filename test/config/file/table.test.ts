import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { isMap, parseDocument, stringify, type Node } from 'yaml';
import { settingsPage, withSettings } from '../../../infra/docs/settings-table.ts';
import { readConfig } from '../../../lib/config/config.ts';
import { settingTable } from '../../../lib/config/setting-table.ts';
import { ConfigError, Settings } from '../../../lib/config/settings.ts';
import { knownSetting, variableOf } from '../../../lib/config/variables.ts';
import { goSources, sourceFile, whyNoSource, type GoSource } from '../../servers/go-sources.ts';
import { faultsOf, load, removeFiles } from './files.ts';

after(removeFiles);

/** What a bucket needs beside the setting. */
function storeOf(name: string): Readonly<Record<string, string>> {
  const keys = /^REGISTRY_STORAGE_S3_(?:ACCESS|SECRET)KEY$|_SESSIONTOKEN$/.test(name)
    ? ['ACCESSKEY', 'SECRETKEY']
    : [];
  const kind = /^REGISTRY_STORAGE_(S3|SCS)_/.exec(name)?.[1];
  const needed = { S3: ['BUCKET', 'REGION', ...keys], SCS: ['BUCKET', 'REGION', 'ACCESSKEY', 'SECRETKEY'] };
  if (kind === undefined) return {};
  const values: Readonly<Record<string, string>> = { REGION: kind === 'S3' ? 'eu-west-1' : 'bjcnc' };
  return Object.fromEntries(
    needed[kind as 'S3' | 'SCS'].map((key) => [`REGISTRY_STORAGE_${kind}_${key}`, values[key] ?? 'images']),
  );
}

/** What one variable brings about. */
function outcomeOf(name: string, value: string): { used: boolean; warnings: string; faults: string } {
  const settings = new Settings({ ...storeOf(name), [name]: value });
  let [warnings, faults] = ['', ''];
  try {
    warnings = readConfig('server', settings).warnings.join();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    faults = error.faults.join('\n');
    warnings = settings.warnings.join();
  }
  return { used: settings.used.some((one) => one.name === name), warnings, faults };
}

/** As after `storage`, `auth` and `search.backend`, a file chooses by a key. */
const inFileOnly = ['version', 'loglevel'];

describe('the table of settings', () => {
  it('stands in docs/configuration-file.md as the code has it', () => {
    const page = readFileSync(settingsPage, 'utf8');
    assert.equal(page, withSettings(page), 'run: node infra/docs/settings-table.ts');
  });

  for (const [path, setting] of Object.entries(settingTable)) {
    const name = variableOf(path);
    if (inFileOnly.includes(path)) continue;
    it(`${path} ${{ works: 'is read', ignored: 'has no effect and a warning', refused: 'is refused with a remedy' }[setting.kind]}`, () => {
      const { used, warnings, faults } = outcomeOf(name, 'x');
      if (setting.kind === 'works') {
        assert.ok(used, 'the code does not read it');
        assert.doesNotMatch(faults, /no such setting|no effect in this program/);
      } else assert.ok(!used, 'the code reads it');
      if (setting.kind === 'ignored') {
        assert.equal(faults, '');
        assert.equal(warnings.includes(name), setting.harmless === undefined);
      }
      if (setting.kind === 'refused') assert.equal(faults, `${name}: ${setting.remedy}`);
    });
  }

  it('has every setting that the code reads', () => {
    const settings = new Settings({
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_SCS_BUCKET: 'images',
    });
    assert.throws(() => readConfig('server', settings), ConfigError);
    // Variables of OpenTelemetry have no place in the file.
    const names = settings.used.map(({ name }) => name).filter((name) => !name.startsWith('OTEL_'));
    const lacking = names.filter((name) => knownSetting(name) === undefined);
    assert.deepEqual(lacking, ['REGISTRY_CONFIGURATION_PATH', 'REGISTRY_SECRETS']);
    const read = new Set(settings.used.map(({ name }) => name));
    const unread = Object.entries(settingTable)
      .filter(
        ([path, { kind }]) => kind === 'works' && !inFileOnly.includes(path) && !read.has(variableOf(path)),
      )
      .map(([path]) => path);
    assert.deepEqual(unread, []);
  });
});

describe('the reference of settings of distribution', () => {
  for (const name of Object.keys(goSources) as GoSource[]) {
    const reason = whyNoSource(name);
    it(
      `works, has one warning or is refused, setting by setting: ${goSources[name].module}`,
      reason === undefined ? {} : { skip: reason },
      async () => {
        const settings = settingsIn(sourceFile(name, goSources[name].files[0]));
        assert.ok(settings.length > 100, String(settings.length));
        for (const { path, text } of settings) await assertMeaning(path, text);
      },
    );
  }
});

/** Loads a file with this setting alone, and with the value that the reference has. */
async function assertMeaning(path: string, text: string): Promise<void> {
  const known = knownSetting(variableOf(path));
  assert.ok(known !== undefined, path);
  const { setting } = known;
  const faults = (await faultsOf(text)).join('\n');
  assert.doesNotMatch(faults, /no such setting|must be (?:a|an) |no effect in this program/, path);
  const isRefused = setting.kind === 'refused' && faults.includes(setting.remedy);
  if (setting.kind === 'works')
    assert.ok(
      !faults.endsWith('remove it') || faults.includes('has no effect without'),
      `${path}: ${faults}`,
    );
  if (setting.kind === 'ignored' && setting.harmless === undefined && !path.startsWith('storage.s3.'))
    assert.match((await load(text)).notes.join(), new RegExp(`no effect here, .*${known.path}`), path);
  if (setting.kind === 'refused')
    assert.ok(isRefused || setting.harmless !== undefined, `${path}: ${faults}`);
}

/** The settings of the example with all settings, each as a file of its own. It has some sections twice. */
function settingsIn(page: string): { path: string; text: string }[] {
  const [, yaml = ''] =
    /## List of configuration options[^]*?```\w*\n([^]*?)```/.exec(readFileSync(page, 'utf8')) ?? [];
  const document = parseDocument(yaml, { uniqueKeys: false });
  const walk = (node: Node | null, path: readonly string[]): { path: string; text: string }[] => {
    if (isMap<Node, Node | null>(node) && node.items.length > 0)
      return node.items.flatMap(({ key, value }) => walk(value, [...path, String(key.toJS(document))]));
    const read: unknown = node?.toJS(document) ?? null;
    // The credentials of a cache are placeholders, such as [username].
    const value = Array.isArray(read) && read[0] === path.at(-1) ? path.at(-1) : read;
    const nested = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
    return [{ path: path.join('.'), text: stringify(nested) }];
  };
  return walk(document.contents, []).filter(({ path }) => path !== 'version');
}
