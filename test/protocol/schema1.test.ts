import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { signedManifestType, withSignatures } from '../../lib/protocol/schema1.ts';
import { temporaryFolder } from '../servers/folder.ts';

const fixtures = join(import.meta.dirname, '../fixtures');

async function readJson(name: string): Promise<unknown> {
  return JSON.parse(await readFile(join(fixtures, name), 'utf8'));
}

interface Vector {
  readonly name: string;
  readonly payload: string;
  /** In an order that is not libtrust's. */
  readonly signatures: readonly string[];
  readonly pretty: string;
}

/**
 * Made by a program in Go around docker/libtrust at aabc10ec26b7, whose jsonsign.go is that of distribution 2.3.1. For each
 * signature the payload was signed on its own (Sign; SignWithChain for x5c), written with PrettySignature, read with
 * ParsePrettySignature and taken apart with Signatures, as for a push to distribution 2.3. `pretty` is what
 * `NewJSONSignature(payload, signatures...)` and `PrettySignature("signatures")` made of them; libtrust verified it.
 */
const { vectors } = (await readJson('libtrust-signed-manifests.json')) as { vectors: readonly Vector[] };

function vector(wanted: string): Vector {
  const found = vectors.find(({ name }) => name === wanted);
  assert.ok(found);
  return found;
}

/** The result as text. */
function joined(payload: string, signatures: readonly string[]): string | undefined {
  return withSignatures(
    Buffer.from(payload),
    signatures.map((one) => Buffer.from(one)),
  )?.toString();
}

describe('withSignatures', () => {
  it('withSignatures restores what the original registry served', async () => {
    const { repositories } = (await readJson('original-registry.json')) as {
      repositories: Record<string, Record<string, { mediaType: string; digest: string; served?: string }>>;
    };
    const original = repositories['legacy/app']?.['v1'];
    assert.ok(original?.served);
    assert.equal(original.mediaType, signedManifestType);

    const folder = await temporaryFolder('signed');
    const archive = join(fixtures, 'original-registry.tar.gz');
    assert.equal(spawnSync('tar', ['xzf', archive, '-C', folder.path]).status, 0);
    const root = join(folder.path, 'docker/registry/v2');
    const blob = async (hex: string) =>
      await readFile(join(root, 'blobs/sha256', hex.slice(0, 2), hex, 'data'));
    const revision = original.digest.replace('sha256:', '');
    const revisions = join(root, 'repositories/legacy/app/_manifests/revisions/sha256');
    const stored = await readdir(join(revisions, revision, 'signatures/sha256'));
    assert.equal(stored.length, 1);
    const served = withSignatures(await blob(revision), await Promise.all(stored.map(blob)));
    folder.remove();

    assert.deepEqual(served, Buffer.from(original.served));
  });

  for (const { name, payload, signatures, pretty } of vectors)
    it(`withSignatures restores the output of libtrust: ${name}`, () => {
      assert.equal(joined(payload, signatures), pretty);
    });

  it('withSignatures ignores the order of signatures', () => {
    const { payload, signatures, pretty } = vector('compact, three keys');
    fc.assert(
      fc.property(fc.shuffledSubarray([...signatures], { minLength: signatures.length }), (shuffled) => {
        assert.equal(joined(payload, shuffled), pretty);
      }),
    );
  });

  it('withSignatures does not modify its arguments', () => {
    const { payload, signatures } = vector('compact, three keys');
    const given = signatures.map((one) => Buffer.from(one));
    withSignatures(Buffer.from(payload), given);
    assert.deepEqual(
      given.map((one) => one.toString()),
      signatures,
    );
  });

  it('keeps bytes that are not UTF-8, which Go takes in a text', () => {
    const [signature = ''] = vector('compact').signatures;
    const payload = Buffer.from('{"a":"\xff\xc0"}', 'latin1');
    const expected = Buffer.from(`{"a":"\xff\xc0","signatures":[${signature}]}`, 'latin1');
    assert.deepEqual(withSignatures(payload, [Buffer.from(signature)]), expected);
  });

  it('reads a part of a larger buffer', () => {
    const { payload, signatures, pretty } = vector('3 spaces');
    const part = (text: string) => new Uint8Array(Buffer.from(`<<${text}>>`)).subarray(2, -2);
    assert.equal(withSignatures(part(payload), signatures.map(part))?.toString(), pretty);
  });

  it('writes any signature as JSON.stringify does, apart from what Go escapes', () => {
    const value = fc.jsonValue({ maxDepth: 4 });
    fc.assert(
      fc.property(value, fc.constantFrom('', ' ', '    ', '\t'), (extra, indent) => {
        const signature = {
          header: { jwk: { extra, kid: 'A' }, alg: 'ES256' },
          signature: 'signed',
          protected: 'so',
        };
        const document = { schemaVersion: 1 };
        assert.equal(
          joined(JSON.stringify(document, undefined, indent), [JSON.stringify(signature)]),
          JSON.stringify({ ...document, signatures: [signature] }, undefined, indent),
        );
      }),
    );
  });

  describe('returns nothing', () => {
    const { payload, signatures } = vector('3 spaces');
    const [signature = ''] = signatures;

    it('withSignatures returns nothing without signatures', () => {
      assert.equal(joined(payload, []), undefined);
    });

    for (const bad of [
      '',
      '{',
      '[]',
      '[{"a":1}]',
      'null',
      '"a"',
      '{"a":1,}',
      '{"a":1}}',
      '\ufeff{"a":1}',
      '{}',
      '{\n}',
    ])
      it(`withSignatures returns nothing for the payload ${JSON.stringify(bad)}`, () => {
        assert.equal(joined(bad, signatures), undefined);
      });

    const jwk = { kid: 'A', kty: 'EC' };
    const parts = { header: { jwk, alg: 'ES256' }, signature: 'a', protected: 'b' };
    const withHeader = (header: unknown) => ({ ...parts, header });

    it('withSignatures returns nothing for a signature of the wrong shape', () => {
      assert.ok(joined(payload, [JSON.stringify(parts)]));
    });

    for (const [what, bad] of [
      ['a number for its text', { ...parts, signature: 1 }],
      ['no protected header', { header: parts.header, signature: 'a' }],
      ['a protected header that is no text', { ...parts, protected: {} }],
      ['no header', { signature: 'a', protected: 'b' }],
      ['a header that is a list', withHeader([])],
      ['neither key nor certificates', withHeader({ alg: 'ES256' })],
      ['no algorithm', withHeader({ jwk })],
      ['an algorithm that is no text', withHeader({ jwk, alg: null })],
      ['a key that is null', withHeader({ jwk: null, alg: 'ES256' })],
      ['a key that is none, beside certificates', withHeader({ jwk: 1, alg: 'ES256', x5c: ['a'] })],
      ['a key without its id', withHeader({ jwk: { kty: 'EC' }, alg: 'ES256' })],
      ['no certificate', withHeader({ alg: 'ES256', x5c: [] })],
      ['a certificate that is no text', withHeader({ alg: 'ES256', x5c: ['a', 1] })],
      ['another field', { ...parts, more: 1 }],
      ['another field in its header', withHeader({ ...parts.header, more: 1 })],
      ['another order', { signature: 'a', protected: 'b', header: parts.header }],
    ] as const)
      it(`withSignatures returns nothing for a signature with ${what}, alone or among others`, () => {
        assert.equal(joined(payload, [JSON.stringify(bad)]), undefined);
        assert.equal(joined(payload, [signature, JSON.stringify(bad)]), undefined);
      });

    for (const bad of ['', '[]', 'null', '"a"', signature.slice(0, -1), `${signature}}`, `[${signature}]`])
      it(`withSignatures returns nothing for the signature ${JSON.stringify(bad.slice(0, 20))}…${JSON.stringify(bad.slice(-3))}`, () => {
        assert.equal(joined(payload, [bad]), undefined);
        assert.equal(joined(payload, [signature, bad]), undefined);
      });

    it('withSignatures returns nothing if a signature has no key to sort by, on which libtrust crashes', () => {
      const [chain = ''] = vector('3 spaces, x5c').signatures;
      assert.equal(joined(payload, [chain, chain]), undefined);
      assert.equal(joined(payload, [signature, chain]), undefined);
    });

    it('withSignatures returns nothing for indentation that would fill the memory', () => {
      const wide = `{\n${' '.repeat(2 ** 22)}"a": 1\n}`;
      assert.equal(joined(wide, signatures), undefined);
      const deep = `${'['.repeat(2 ** 20)}${']'.repeat(2 ** 20)}`;
      const nested = signature.replace('"jwk":{', `"jwk":{"a":${deep},`);
      assert.equal(joined(payload, [nested]), undefined);
    });
  });

  it('reads 4 MiB of escapes in a signature', () => {
    const [signature = ''] = vector('compact').signatures;
    const long = signature.replace('"jwk":{', () => `"jwk":{"a":${JSON.stringify('"\\'.repeat(2 ** 20))},`);
    assert.equal(joined('{"a":1}', [long]), `{"a":1,"signatures":[${long}]}`);
  });
});
