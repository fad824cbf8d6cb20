import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { functionNames, isHttpFunction } from '../../../infra/gateway.ts';
import { policyKey } from '../../../infra/stack/environment.ts';
import type { Parameters } from '../../../infra/stack/parameters.ts';
import { rights, rightsOf, type Principal } from '../../../infra/stack/rights.ts';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import type { Tag } from '../../../lib/protocol/tags.ts';
import {
  layerLink,
  referrerKey,
  referrersScan,
  tagIndexLink,
  tagLink,
} from '../../../lib/registry/layout.ts';
import { examples, parametersWith } from './examples.ts';

const all: readonly Principal[] = [...functionNames, 'data-plane'];

const defaults = parametersWith();

const changing = /^s3:(Put|Delete|Abort|Restore|Replicate)/;

/** The actions on the bucket's keys that a principal has, with the last part of the keys. */
function keyActions(principal: Principal, parameters = defaults): readonly string[] {
  return rightsOf(principal, parameters).flatMap(({ on, actions }) =>
    typeof on === 'object' && 'keys' in on ? actions.map((action) => `${action} ${on.keys}`) : [],
  );
}

const changes = (principal: Principal, parameters = defaults) =>
  keyActions(principal, parameters).filter((one) => changing.test(one));

/** The keys of an entry of {@link keyActions}, as IAM matches them. */
function patternOf(entry: string): RegExp {
  const [, keys = ''] = entry.split(' ');
  return new RegExp(`^${RegExp.escape(keys).replaceAll('\\*', '.*').replaceAll('\\?', '.')}$`);
}

const inOrder = (a: string, b: string) => all.indexOf(a as Principal) - all.indexOf(b as Principal);

describe('the table of rights', () => {
  it('lets nobody write the policy', () => {
    for (const parameters of Object.values(examples))
      for (const principal of all)
        for (const change of changes(principal, parameters)) {
          const [, keys = ''] = change.split(' ');
          assert.ok(keys.startsWith('docker/registry/v2/'), change);
          assert.doesNotMatch(policyKey, patternOf(change));
        }
  });

  for (const word of [
    '_layers',
    '_referrers',
    '_manifests',
    '_uploads',
    'tags',
    'index',
    'current',
    'revisions',
  ])
    it(`gives no right on a tag called ${word} beside those on all tags`, () => {
      const keysOf = (tag: string) => {
        const [name, of, digest] = [
          'a' as RepositoryName,
          tag as Tag,
          parseDigest(`sha256:${'0'.repeat(64)}`),
        ];
        return [tagLink(name, of), tagIndexLink(name, of, digest)];
      };
      const rightsOn = (key: string) =>
        all.map((principal) => keyActions(principal).filter((one) => patternOf(one).test(key)));
      assert.deepEqual(keysOf(word).map(rightsOn), keysOf('v1').map(rightsOn));
    });

  it('has all keys of both algorithms', () => {
    const [name, sha512] = ['a' as RepositoryName, parseDigest(`sha512:${'0'.repeat(128)}`)];
    const sha256 = parseDigest(`sha256:${'0'.repeat(64)}`);
    for (const digest of [sha256, sha512]) {
      assert.ok(changes('uploads').some((one) => patternOf(one).test(layerLink(name, digest))));
      assert.ok(changes('manifests').some((one) => patternOf(one).test(referrerKey(name, sha256, digest))));
      assert.ok(changes('referrers').some((one) => patternOf(one).test(referrerKey(name, digest, sha256))));
    }
    assert.ok(changes('referrers').some((one) => patternOf(one).test(referrersScan(name))));
  });

  it('lets functions that only read change nothing', () => {
    for (const [what, parameters] of Object.entries(examples))
      for (const name of ['base', 'extensions', 'token', 'catalog', 'search', 'tags'] as const) {
        // Of a cache, the tags are asked for, and upstreams may want a pause.
        const pauses = name === 'tags' && what === 'upstreams';
        assert.deepEqual(
          changes(name, parameters),
          pauses ? ['s3:PutObject docker/registry/v2/cache/pauses/*'] : [],
        );
      }
  });

  it('lets blobs delete links of layers, and referrers write their index, and nothing else', () => {
    const repository = 'docker/registry/v2/repositories/*';
    assert.deepEqual(changes('blobs'), [`s3:DeleteObject ${repository}/_layers/sha???/*/link`]);
    assert.deepEqual(changes('referrers'), [`s3:PutObject ${repository}/_referrers/s*`]);
    assert.deepEqual(changes('reindex'), [
      `s3:PutObject ${repository}/_referrers/s*`,
      `s3:DeleteObject ${repository}/_referrers/s*`,
    ]);
  });

  it('lets base read the policy and nothing else', () => {
    assert.deepEqual(keyActions('base'), [`s3:GetObject ${policyKey}`]);
    assert.deepEqual(keyActions('base', examples['no access control']), []);
  });

  it('lets nobody delete a blob but gc, where garbage collection is on', () => {
    const deletesBlobs = (parameters: Parameters) =>
      all.filter((principal) =>
        changes(principal, parameters).some((one) =>
          one.startsWith('s3:DeleteObject docker/registry/v2/blobs'),
        ),
      );
    for (const [what, parameters] of Object.entries(examples))
      assert.deepEqual(deletesBlobs(parameters), what === 'garbage collection' ? ['gc'] : [], what);
  });

  it('gives gc no right on the bucket where garbage collection is off', () => {
    for (const [what, parameters] of Object.entries(examples))
      if (what !== 'garbage collection')
        assert.doesNotMatch(JSON.stringify(rightsOf('gc', parameters)), /s3:/, what);
  });

  it('lets those read the rules for retention and quotas that follow them', () => {
    const own = { REGISTRY_RETENTION_OBJECT: 'team/rules.yaml' };
    const collects = { REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' };
    const readers = (key: string, parameters: Parameters) =>
      all.filter((principal) => keyActions(principal, parameters).includes(`s3:GetObject ${key}`));
    assert.deepEqual(
      readers('team/rules.yaml', parametersWith({ auth: 'none', ...own, ...collects })),
      ['manifests', 'uploads', 'all', 'gc'].toSorted(inOrder),
    );
    assert.deepEqual(readers(policyKey, parametersWith({ auth: 'none', ...own, ...collects })), []);
    assert.deepEqual(
      readers(policyKey, parametersWith(collects)),
      [...functionNames.filter(isHttpFunction), 'gc'].toSorted(inOrder),
    );
    assert.deepEqual(
      keyActions('gc', parametersWith({ auth: 'none', ...own, ...collects })).filter(
        (one) => !one.endsWith('.yaml'),
      ),
      keyActions('gc', parametersWith(collects)).filter((one) => !one.endsWith('.yaml')),
    );
  });

  it('gives s3:ListBucket to all that read keys, so that AWS answers 404 for one that is missing', () => {
    for (const parameters of Object.values(examples))
      for (const principal of all)
        if (keyActions(principal, parameters).some((one) => one.startsWith('s3:GetObject')))
          assert.ok(
            rightsOf(principal, parameters).some(
              ({ on, actions }) => on === 'bucket' && actions.includes('s3:ListBucket'),
            ),
            principal,
          );
  });

  it('has no rights to change anything in a read-only registry', () => {
    for (const principal of all)
      assert.deepEqual(changes(principal, examples['a read-only registry']), [], principal);
  });

  it('has no rights to delete where deletes are off, but for uploads, old records and histories of lost races', () => {
    const deleting = all.flatMap((principal) =>
      changes(principal, examples['no deletes'])
        .filter((one) => one.startsWith('s3:DeleteObject'))
        .map((one) => `${principal} ${one.replace(/.*registry\/v2\//, '')}`),
    );
    assert.deepEqual(deleting, [
      'manifests repositories/*/_manifests/tags/*/index/*',
      'uploads uploads/*',
      'all uploads/*',
      'all repositories/*/_manifests/tags/*/index/*',
      'purge-uploads uploads/*',
      'purge-uploads deleted/*',
      'purge-uploads pulled/*',
      'reindex repositories/*/_referrers/s*',
      'data-plane uploads/*',
    ]);
  });

  it('has no rights on S3 with another store', () => {
    for (const example of ['SCS', 'SCS and upstreams'])
      for (const { actions } of rights(examples[example] ?? parametersWith()))
        assert.doesNotMatch(actions.join(), /s3:/);
  });

  it('gives copy no right but those of all functions where there are no upstreams', () => {
    const on = rightsOf('copy', defaults).map((right) => right.on);
    assert.deepEqual(on, ['own logs', 'dead letters']);
    assert.deepEqual(
      changes('blobs', defaults).filter((one) => one.includes('PutObject')),
      [],
    );
  });

  it('gives each secret to those functions alone that need it', () => {
    const readers = (kind: string, parameters = defaults) =>
      all.filter((principal) =>
        rightsOf(principal, parameters).some(
          ({ on }) => typeof on === 'object' && 'secret' in on && on.secret === kind,
        ),
      );
    assert.deepEqual(readers('http'), ['catalog', 'blobs', 'uploads', 'all', 'data-plane'].toSorted(inOrder));
    assert.deepEqual(readers('upstreams'), []);
    assert.deepEqual(
      readers('upstreams', examples['upstreams']),
      ['tags', 'manifests', 'referrers', 'blobs', 'all', 'copy', 'data-plane'].toSorted(inOrder),
    );
    assert.deepEqual(readers('token'), ['token']);
    assert.deepEqual(readers('htpasswd'), ['token']);
    assert.deepEqual(
      readers('htpasswd', examples['users of a password file']),
      functionNames.filter(isHttpFunction),
    );
    assert.deepEqual(readers('htpasswd', examples['no access control']), []);
    assert.deepEqual(readers('search'), []);
    assert.deepEqual(
      readers('search', examples['MySQL in a VPC']),
      ['catalog', 'search', 'manifests', 'all', 'reindex'].toSorted(inOrder),
    );
    assert.deepEqual(readers('storage'), []);
    assert.ok(functionNames.every((name) => readers('storage', examples['SCS']).includes(name)));
  });

  it('names the documentation for what no operation of the registry asks for', () => {
    for (const { on, source } of rights(examples['MySQL in a VPC'] ?? parametersWith()))
      if (on === 'own logs' || on === 'dead letters' || on === 'network interfaces')
        assert.match(source ?? '', /^https:\/\/docs\.aws\.amazon\.com\//);
  });
});
