import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import {
  blobData,
  layerLink,
  referrerKey,
  referrersScan,
  revisionLink,
  signaturesPrefix,
  tagIndexLink,
  tagLink,
} from '../../lib/registry/layout.ts';
import { parseRepositoryKey } from '../../lib/registry/repository-keys.ts';

const name = parseRepositoryName('team/app-web/a_b');
const [digest, subject] = ['1', '2'].map((digit) => digestFrom('sha256', digit.repeat(64))) as [never, never];
const tag = parseTag('v1');

describe('keys of repositories', () => {
  for (const [key, parsed] of [
    [layerLink(name, digest), { kind: 'layer', digest }],
    [revisionLink(name, digest), { kind: 'revision', digest }],
    [
      `${signaturesPrefix(name, subject)}sha256/${'1'.repeat(64)}/link`,
      { kind: 'signature', manifest: subject, digest },
    ],
    [tagLink(name, tag), { kind: 'tag', tag }],
    [tagIndexLink(name, tag, digest), { kind: 'tag index', tag, digest }],
    [referrerKey(name, subject, digest), { kind: 'referrer', subject, referrer: digest }],
    [referrersScan(name), { kind: 'other' }],
    [`${layerLink(name, digest)}/more`, { kind: 'other' }],
    [`${tagLink(name, tag)}/more`, { kind: 'other' }],
    [`docker/registry/v2/repositories/${name}/_uploads/1/data`, { kind: 'other' }],
  ] as const)
    it(`parses ${key}`, () => {
      assert.deepEqual(parseRepositoryKey(key), { name, ...parsed });
    });

  for (const key of [
    blobData(digest),
    'docker/registry/v2/repositories/Team/_layers/x',
    'docker/registry/v2/repositories/team',
  ])
    it(`finds no repository in ${key}`, () => {
      assert.equal(parseRepositoryKey(key), undefined);
    });

  it('are in the order in which they are checked', () => {
    const keys = [
      layerLink(name, digest),
      revisionLink(name, digest),
      tagLink(name, tag),
      tagIndexLink(name, tag, digest),
      referrersScan(name),
      referrerKey(name, subject, digest),
    ];
    assert.deepEqual(keys.toSorted(), keys);
  });
});
