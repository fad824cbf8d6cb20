import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../servers/folder.ts';
import { conforms, readResults, readSummary, readTests, type Results } from './results.ts';
import { junitXml, resultsYaml } from './sample.ts';

describe('the reports of the suite', () => {
  it('conformance reports have a result for each API and each kind of data', () => {
    assert.deepEqual(readSummary(resultsYaml), [
      { section: 'API', name: 'Blob anonymous mount', verdict: 'skipped' },
      { section: 'API', name: 'Blob get', verdict: 'FAIL' },
      { section: 'API', name: 'Ping', verdict: 'pass' },
      { section: 'API', name: 'Tag delete', verdict: 'disabled' },
      { section: 'Data', name: 'Artifact', verdict: 'pass' },
      { section: 'Data', name: 'Blobs sha512', verdict: 'FAIL' },
      { section: 'Data', name: 'Nested Index', verdict: 'pass' },
      { section: 'Data', name: 'Sparse Manifests', verdict: 'disabled' },
    ]);
  });

  it('conformance reports count tests; disabled tests count as skipped', () => {
    assert.deepEqual(readTests(junitXml).counts, { passed: 675, failed: 119, skipped: 47 });
  });

  it('conformance reports give the reason of each failure', () => {
    assert.deepEqual(readTests(junitXml).problems, [
      {
        outcome: 'failed',
        name: 'empty/referrers',
        message:
          'header value mismatch for "Content-Type", expected "application/vnd.oci.image.index.v1+json", ' +
          'received ["application/json"]; unexpected status code, expected one of [200], received 404',
      },
      {
        outcome: 'skipped',
        name: 'sha256 blobs/mount anonymous/blob-mount-anonymous',
        message: 'registry returned status 202, fell back to blob POST+PUT',
      },
      {
        outcome: 'skipped',
        name: 'sha256 blobs/post cancel/blob-post-cancel',
        message: 'api Blob upload cancel is disabled in the configuration',
      },
      {
        outcome: 'failed',
        name: 'missing-subject/push/manifest-by-digest',
        message:
          'manifest put failed: header value mismatch for "OCI-Subject", expected "sha256:…", received []',
      },
    ]);
  });

  it('conformance reports truncate messages that contain a whole manifest', () => {
    const long = junitXml.replace('registry returned status 202', 'x'.repeat(10_000));
    const message = readTests(long).problems[1]?.message ?? '';
    assert.match(message, /^x{200}…$/);
  });

  it('incomplete conformance reports are refused', async () => {
    assert.throws(() => readSummary('config:\n  version: "1.1"\n'), /results.yaml/);
    assert.throws(
      () => readSummary(resultsYaml.slice(0, resultsYaml.indexOf('data:\n  Artifact'))),
      /results.yaml/,
    );
    assert.throws(() => readSummary(resultsYaml.replace('Ping: Pass', 'Ping: Perhaps')), /Ping: Perhaps/);
    assert.throws(() => readTests(junitXml.slice(0, -200)), /junit.xml ends too early/);
    assert.throws(() => readTests('<testsuites></testsuites>'), /junit.xml has no tests/);
    const folder = await temporaryFolder('results');
    await writeFile(join(folder.path, 'results.yaml'), resultsYaml);
    await assert.rejects(readResults(folder.path), /junit.xml/);
    await writeFile(join(folder.path, 'junit.xml'), junitXml);
    assert.equal((await readResults(folder.path)).lines.length, 8);
    await rm(join(folder.path, 'results.yaml'));
    await assert.rejects(readResults(folder.path), /results.yaml/);
    folder.remove();
  });
});

describe('a registry conforms', () => {
  const good: Results = {
    lines: [
      { section: 'API', name: 'Ping', verdict: 'pass' },
      { section: 'Data', name: 'Sparse Manifests', verdict: 'disabled' },
    ],
    counts: { passed: 10, failed: 0, skipped: 0 },
    problems: [],
  };
  const withVerdict = (verdict: Results['lines'][number]['verdict'], name = 'Referrers'): Results => ({
    ...good,
    lines: [...good.lines, { section: 'API', name, verdict }],
  });

  it('a registry conforms if everything passes except sparse manifests, which are disabled', () => {
    assert.ok(conforms(good));
    assert.ok(conforms(withVerdict('pass')));
  });

  const flaws: Readonly<Record<string, Results>> = {
    'nothing has passed': { ...good, counts: { passed: 0, failed: 0, skipped: 0 } },
    'a test has failed': { ...good, counts: { passed: 10, failed: 1, skipped: 0 } },
    'a test was skipped': { ...good, counts: { passed: 10, failed: 0, skipped: 1 } },
    'an API failed': withVerdict('FAIL'),
    'an API was skipped': withVerdict('skipped'),
    'an API is disabled': withVerdict('disabled'),
    'an API was not tried': withVerdict('not run'),
    'sparse manifests failed': withVerdict('FAIL', 'Sparse Manifests'),
  };
  for (const [flaw, results] of Object.entries(flaws))
    it(`a registry does not conform if ${flaw}`, () => {
      assert.ok(!conforms(results));
    });
});
