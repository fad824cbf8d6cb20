import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { costAtRest } from '../../../infra/cost-at-rest.ts';
import { rightsPage, withRights } from '../../../infra/docs/rights-table.ts';
import { functionNames } from '../../../infra/gateway.ts';
import { pricedRegions } from '../../../infra/prices.ts';
import { readParameters } from '../../../infra/stack/parameters.ts';
import { secretName, secretSettings, secretsOf, type SecretKind } from '../../../infra/stack/secrets.ts';
import { templateOf } from '../../../infra/stack/stack.ts';
import { command as deploy } from '../../../lib/commands/deploy.ts';

const root = join(import.meta.dirname, '../../..');
const page = readFileSync(join(root, 'docs/deploy/aws.md'), 'utf8');
const defaults = readParameters({ stage: 'prod', region: 'eu-central-1' });

describe('the documentation of a deployment', () => {
  it('has a row for each parameter that a person may set, with its default', () => {
    // Of the stack, of the command, and of the deployment itself.
    const others = ['stage', 'region', 'secretsRevision', 'publicKeys'];
    const rows = tableOf('## Parameters');
    const names = Object.keys(defaults).filter((name) => !others.includes(name));
    assert.deepEqual([...rows.keys()].sort(), names.sort());
    for (const [name, cell] of rows) {
      const value = defaults[name as keyof typeof defaults];
      if ((typeof value === 'string' && value !== '') || typeof value === 'number')
        assert.equal(cell, `\`${value}\``, name);
    }
  });

  it('names each secret and the settings in it', () => {
    const section = sectionOf('## Secrets');
    for (const kind of [...Object.keys(secretSettings), 'htpasswd'] as SecretKind[])
      assert.ok(section.includes(`\`${secretName({ stage: '<stage>' }, kind)}\``), kind);
    for (const setting of Object.values(secretSettings).flatMap((settings) => Object.keys(settings)))
      assert.ok(page.includes(setting), setting);
  });

  it('has the options of stowage deploy', () => {
    const documented = sectionOf('## First deployment').matchAll(/^\| `(--[a-z-]+)/gm);
    const options = deploy.usage.matchAll(/^ {2}(--[a-z-]+)/gm);
    const names = (found: Iterable<RegExpExecArray>) => [...found].map(([, name = '']) => name).sort();
    assert.deepEqual(names(documented), names(options));
  });

  it('quotes messages that the code has', () => {
    const files = globSync('infra/{deploy,stack}/**/*.ts', { cwd: root });
    const code = files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
    const [table = ''] = sectionOf('## When something fails')
      .split('\n\n')
      .slice(1)
      .filter((part) => part.startsWith('| message'));
    const quoted = [...table.matchAll(/^\| (.+?) \|/gm)]
      .slice(2)
      .flatMap(([, cell = '']) => cell.match(/`[^`]+`/g) ?? []);
    assert.ok(quoted.length > 15);
    const parts = quoted
      .flatMap((text) => text.slice(1, -1).split(/…|: |[()]/))
      .filter((part) => part.trim() !== '');
    assert.deepEqual(
      parts.filter((part) => !code.includes(part.trim())),
      [],
    );
  });

  it('says what the default costs at rest', () => {
    const secrets = new Set(functionNames.flatMap((name) => secretsOf(name, defaults))).size;
    for (const region of pricedRegions) {
      const { sum } = costAtRest(templateOf(defaults), { secrets, region });
      assert.ok(sectionOf('## What it costs').includes(`${sum.toFixed(2)} dollars a month`), String(sum));
    }
  });

  it('has the rights of the code', () => {
    const rights = readFileSync(rightsPage, 'utf8');
    assert.equal(rights, withRights(rights), 'run: npm run docs');
  });
});

function sectionOf(heading: string): string {
  const [, rest = ''] = page.split(`\n${heading}\n`);
  return rest.split('\n## ')[0] ?? '';
}

/** The first column of a table, whose cells may have several names, and the second. */
function tableOf(heading: string): Map<string, string> {
  const rows = [...sectionOf(heading).matchAll(/^\| ((?:`\w+`(?:, )?)+) \|(.*?)\|/gm)];
  return new Map(
    rows.flatMap(([, names = '', cell = '']) =>
      names.split(', ').map((name) => [name.slice(1, -1), cell.trim()]),
    ),
  );
}
