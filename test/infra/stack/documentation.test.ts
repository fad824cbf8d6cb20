import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { rightsPage, withRights } from '../../../infra/docs/rights-table.ts';
import { readParameters } from '../../../infra/stack/parameters.ts';
import { secretName, secretSettings, type SecretKind } from '../../../infra/stack/secrets.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/deploy/aws.md'), 'utf8');
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
