import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { releaseNotes } from '../../../infra/release/notes.ts';
import { runNode } from '../run-node.ts';

const changelog = `# Changelog

## Unreleased

- Not yet.

## [1.10.0] - 2026-11-27

### Added

- [A page](docs/a.md), [another](https://example.com/b.md) and [a part](#part).

## 1.1.0 - 2026-10-01

- Older.

## 1.0.0 - 2026-09-01
`;

const notes = (tag: string, version = tag.slice(1), filesUrl?: string) =>
  releaseNotes({ tag, version, changelog, filesUrl });

describe('the notes of a release', () => {
  it('are the section of its version, and no other', () => {
    assert.equal(notes('v1.1.0'), '- Older.');
    assert.match(notes('v1.10.0'), /^### Added\n\n- \[A page\]\(docs\/a\.md\)[^\n]*$/);
  });

  it('have links to files at the tag', () => {
    assert.ok(
      notes('v1.10.0', '1.10.0', 'https://github.com/team/stowage/blob/v1.10.0').endsWith(
        '[A page](https://github.com/team/stowage/blob/v1.10.0/docs/a.md), [another](https://example.com/b.md) and [a part](#part).',
      ),
    );
  });

  for (const [tag, version, fault] of [
    ['v1.0.0', '1.0.0', /^the section of 1\.0\.0 in CHANGELOG\.md is empty$/],
    [
      'v1.1.0',
      '1.10.0',
      /^the tag is v1\.1\.0 and package\.json has 1\.10\.0: run npm version 1\.1\.0, or tag v1\.10\.0$/,
    ],
    [
      'v2.0.0',
      '2.0.0',
      /^CHANGELOG\.md has no section "## 2\.0\.0 - DATE": give "## Unreleased" that title$/,
    ],
    ['latest', '1.1.0', /^"latest" is not the tag of a release, such as v1\.1\.0$/],
    ['v2', '2.0.0', /^"v2" is not the tag of a release, such as v2\.0\.0\nCHANGELOG\.md has no section/],
  ] as const)
    it(`are refused for ${tag} with version ${version}`, () => {
      assert.throws(() => notes(tag, version), { message: fault });
    });

  it('are refused by the program, which exits with 1', async () => {
    const program = join(import.meta.dirname, '../../../infra/release/notes.ts');
    const { code, output, errors } = await runNode([program, 'v99.0.0'], {});
    assert.equal(code, 1);
    assert.equal(output, '');
    assert.match(errors, /^the tag is v99\.0\.0 and package\.json has /);
  });
});
