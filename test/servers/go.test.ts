import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { whyNotVersion } from './go.ts';

describe('the Go that the suite is built with', () => {
  const enough = [
    'go version go1.24 linux/amd64',
    'go version go1.24.0 linux/amd64',
    'go version go1.26.8 linux/amd64',
    'go version go1.25rc1 darwin/arm64',
    'go version devel go1.27-abc Tue Nov 24 10:00:00 2026 +0000 linux/amd64',
    'go version go1.24.4 (Red Hat 1.24.4-1.el9) linux/amd64',
    'go version go2.0 linux/amd64',
  ];
  for (const version of enough)
    it(`the suite may be built with Go "${version}"`, () => {
      assert.equal(whyNotVersion(`${version}\n`), undefined);
    });

  // Go itself takes what comes before the release go1.24.0 for older, and refuses to build the suite with it.
  const tooOld: Readonly<Record<string, string>> = {
    'go version go1.23.4 linux/amd64': 'go1.23.4 linux/amd64',
    'go version go1.9 linux/amd64': 'go1.9 linux/amd64',
    'go version go1.24rc1 linux/amd64': 'go1.24rc1 linux/amd64',
    'go version devel go1.24-abc linux/amd64': 'devel go1.24-abc linux/amd64',
    'go version go0.99.1 linux/amd64': 'go0.99.1 linux/amd64',
  };
  for (const [version, named] of Object.entries(tooOld))
    it(`the suite must not be built with Go "${version}"`, () => {
      assert.equal(whyNotVersion(`${version}\n`), `needs Go 1.24 or newer; this is ${named}`);
    });

  it('the suite needs Go with a version', () => {
    assert.equal(whyNotVersion(undefined), 'needs Go 1.24 or newer; there is no go on the PATH');
    assert.equal(whyNotVersion(''), 'needs Go 1.24 or newer; this is a go that does not say its version');
  });
});
