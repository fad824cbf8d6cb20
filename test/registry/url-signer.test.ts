import assert from 'node:assert/strict';
import { createHmac, hkdfSync, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { blobUrlLifetimeSeconds, UrlSigner, uploadLifetimeSeconds } from '../../lib/registry/url-signer.ts';

const name = parseRepositoryName('library/alpine');
const other = parseRepositoryName('library/alpine2');
const id = randomUUID();
const digest = digestFrom('sha256', 'a'.repeat(64));

/** One that can be put forward, in seconds. */
function clock(): { now: () => number; forward: (seconds: number) => void } {
  let time = Date.UTC(2026, 0, 1);
  return {
    now: () => time,
    forward: (seconds) => {
      time += seconds * 1000;
    },
  };
}

const altered = { status: 400, message: /altered/ };
const foreign = { failure: 'UPLOAD_STATE_FOREIGN', status: 400, message: /REGISTRY_HTTP_SECRET/ };
const unknown = { failure: 'BLOB_UPLOAD_UNKNOWN', status: 404 };

describe('the state of an upload', () => {
  const urlSigner = new UrlSigner(['secret']);

  it('the state of an upload contains its offset', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 219 * 2 ** 30 }), fc.string(), (offset, secret) => {
        const one = new UrlSigner([secret]);
        assert.deepEqual(one.readUpload(name, id, one.signUpload(name, id, { offset })), { offset });
      }),
    );
  });

  it('the state of an upload is URL-safe and short enough for every gateway', () => {
    const state = urlSigner.signUpload(name, id, { offset: 219 * 2 ** 30 });
    assert.equal(encodeURIComponent(state), state);
    assert.ok(state.length < 100);
  });

  for (const [field, change] of [
    ['the version', (fields: string[]) => ['2', ...fields.slice(1)]],
    ['the offset', ([version, , ...rest]: string[]) => [version, '6', ...rest]],
    [
      'the offset by a leading zero',
      ([version, offset, ...rest]: string[]) => [version, `0${offset}`, ...rest],
    ],
    [
      'the expiry',
      ([version, offset, expiry, mac]: string[]) => [version, offset, String(Number(expiry) + 1), mac],
    ],
    [
      'the boundary between offset and expiry',
      ([version, offset, expiry = '', mac]: string[]) => [
        version,
        `${offset}${expiry[0]}`,
        expiry.slice(1),
        mac,
      ],
    ],
    ['the signature', (fields: string[]) => [...fields.slice(0, 3), 'A'.repeat(43)]],
    ['nothing but cut off the signature', (fields: string[]) => fields.slice(0, 3)],
    ['the signature to none', (fields: string[]) => [...fields.slice(0, 3), '']],
    ['the end, by one field more', (fields: string[]) => [...fields, '1']],
    ['the end, by a line feed', (fields: string[]) => [...fields.slice(0, 3), `${fields[3]}\n`]],
  ] as const)
    it(`the state of an upload is refused with another ${field}`, () => {
      const state = urlSigner.signUpload(name, id, { offset: 5 });
      const forged = change(state.split('.')).join('.');
      assert.notEqual(forged, state);
      assert.throws(() => urlSigner.readUpload(name, id, forged), altered);
    });

  it('the state of an upload is refused with any one character changed', () => {
    const state = urlSigner.signUpload(name, id, { offset: 5 });
    for (let i = 0; i < state.length; i += 1)
      for (const character of '0A._'.replace(state[i] ?? '', '')) {
        const forged = state.slice(0, i) + character + state.slice(i + 1);
        assert.throws(() => urlSigner.readUpload(name, id, forged), altered, forged);
      }
  });

  it('the state of an upload is refused for another upload or repository, also if name and id are joined differently', () => {
    const state = urlSigner.signUpload(name, id, { offset: 5 });
    assert.throws(() => urlSigner.readUpload(name, randomUUID(), state), altered);
    assert.throws(() => urlSigner.readUpload(other, id, state), altered);
    assert.throws(() => urlSigner.readUpload(parseRepositoryName('library/alpin'), `e${id}`, state), altered);
  });

  it('any other text is refused as an altered state of an upload', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.throws(() => urlSigner.readUpload(name, id, text), altered);
      }),
    );
    assert.throws(() => urlSigner.readUpload(name, id, '1.'.repeat(1_000_000)), altered);
  });

  it('an upload without its state is unknown', () => {
    assert.throws(() => urlSigner.readUpload(name, id, null), unknown);
  });

  it('the state of an upload is valid for exactly a day; an altered one is not called expired', () => {
    const time = clock();
    const timed = new UrlSigner(['secret'], time.now);
    const state = timed.signUpload(name, id, { offset: 5 });
    time.forward(uploadLifetimeSeconds - 1);
    assert.deepEqual(timed.readUpload(name, id, state), { offset: 5 });
    time.forward(1);
    assert.throws(() => timed.readUpload(name, id, state), unknown);
    assert.throws(() => timed.readUpload(other, id, state), altered);
    assert.equal(uploadLifetimeSeconds, 24 * 3600);
  });

  it('the state of an upload is accepted with the previous secret, and refused once that is removed', () => {
    const before = new UrlSigner(['old']);
    const state = before.signUpload(name, id, { offset: 5 });
    const rotated = new UrlSigner(['new', 'old']);
    assert.deepEqual(rotated.readUpload(name, id, state), { offset: 5 });
    assert.throws(() => new UrlSigner(['new']).readUpload(name, id, state), foreign);
    assert.throws(() => before.readUpload(name, id, rotated.signUpload(name, id, { offset: 5 })), foreign);
  });
});

describe('a signed blob URL', () => {
  const urlSigner = new UrlSigner(['secret']);
  const query = () => urlSigner.signBlob(name, digest);
  const withField = (field: string, value: string) => {
    const changed = query();
    changed.set(field, value);
    return changed;
  };

  it('a signed blob URL grants access to its blob and repository', () => {
    assert.equal(urlSigner.mayReadBlob(name, digest, query()), true);
    assert.equal(urlSigner.mayReadBlob(name, digest, new URLSearchParams(query().toString())), true);
  });

  for (const [what, may] of [
    ['another blob', () => urlSigner.mayReadBlob(name, digestFrom('sha256', 'b'.repeat(64)), query())],
    ['another repository', () => urlSigner.mayReadBlob(other, digest, query())],
    ['a later time', () => urlSigner.mayReadBlob(name, digest, withField('expires', '99999999999'))],
    ['an endless time', () => urlSigner.mayReadBlob(name, digest, withField('expires', 'Infinity'))],
    ['no time', () => urlSigner.mayReadBlob(name, digest, withField('expires', ''))],
    [
      'an altered signature',
      () => urlSigner.mayReadBlob(name, digest, withField('signature', 'A'.repeat(43))),
    ],
    ['an empty signature', () => urlSigner.mayReadBlob(name, digest, withField('signature', ''))],
    ['no query', () => urlSigner.mayReadBlob(name, digest, new URLSearchParams())],
  ] as const)
    it(`a signed blob URL grants no access to ${what}`, () => {
      assert.equal(may(), false);
    });

  it('a signed blob URL is valid for exactly twenty minutes', () => {
    const time = clock();
    const timed = new UrlSigner(['secret'], time.now);
    const signed = timed.signBlob(name, digest);
    time.forward(blobUrlLifetimeSeconds - 1);
    assert.equal(timed.mayReadBlob(name, digest, signed), true);
    time.forward(1);
    assert.equal(timed.mayReadBlob(name, digest, signed), false);
    assert.equal(blobUrlLifetimeSeconds, 20 * 60);
  });

  it('a signed blob URL is accepted with the previous secret and not with another', () => {
    assert.equal(new UrlSigner(['new', 'secret']).mayReadBlob(name, digest, query()), true);
    assert.equal(new UrlSigner(['new']).mayReadBlob(name, digest, query()), false);
  });

  it('a signed blob URL is foreign if it has another signature, expired or not', () => {
    const time = clock();
    const timed = new UrlSigner(['secret'], time.now);
    const signed = timed.signBlob(name, digest);
    time.forward(blobUrlLifetimeSeconds + 1);
    const isForeign = (query: URLSearchParams) => timed.isForeign(name, digest, query);
    assert.equal(isForeign(signed), false);
    assert.equal(isForeign(new UrlSigner(['new']).signBlob(name, digest)), true);
    assert.equal(isForeign(withField('expires', '99999999999')), true);
    for (const none of ['', 'short', 'A'.repeat(44)])
      assert.equal(isForeign(withField('signature', none)), false);
    assert.equal(isForeign(new URLSearchParams()), false);
  });
});

describe('the two purposes', () => {
  const time = clock();
  const urlSigner = new UrlSigner(['secret'], time.now);

  it('signatures of one purpose are refused for the other, even if the fields are the same', () => {
    // An upload whose id is a digest, and a blob whose expiry is an upload's claim, are signed over the same text.
    const state = urlSigner.signUpload(name, digest, { offset: 5 });
    const [, claim = '', signature = ''] = /^(.*)\.(.*)$/.exec(state) ?? [];
    const signedClaim = new URLSearchParams({ expires: claim, signature });
    assert.equal(urlSigner.mayReadBlob(name, digest, signedClaim), false);

    const query = urlSigner.signBlob(name, digest);
    const forged = `1.5.${query.get('expires')}.${query.get('signature')}`;
    assert.throws(() => urlSigner.readUpload(name, digest, forged), altered);
  });

  it('an upload keeps its writer, who cannot be replaced', () => {
    const writer = { actor: 'ci:Grüße, 世界', rule: 'rule 3 (a.b/c)' };
    const state = urlSigner.signUpload(name, id, { offset: 5, writer });
    assert.match(state, /^[\w.-]+$/);
    assert.deepEqual(urlSigner.readUpload(name, id, state), { offset: 5, writer });
    const nobody = urlSigner.signUpload(name, id, { offset: 5, writer: { actor: 'anonymous' } });
    assert.deepEqual(urlSigner.readUpload(name, id, nobody).writer, { actor: 'anonymous', rule: undefined });
    const parts = state.split('.');
    const other = Buffer.from('["mallory"]').toString('base64url');
    for (const forged of [parts.with(3, other), parts.toSpliced(3, 1), parts.toSpliced(3, 0, other)])
      assert.throws(() => urlSigner.readUpload(name, id, forged.join('.')), RegistryError);
  });

  it('an upload keeps its quota, with a writer or without, and earlier releases find the writer', () => {
    for (const state of [
      { offset: 5, quota: '0123456789abcdef' },
      { offset: 5, writer: { actor: 'alice', rule: undefined }, quota: '0123456789abcdef' },
      { offset: 5, writer: { actor: 'alice', rule: 'rule 1' }, quota: '0123456789abcdef' },
    ]) {
      const signed = urlSigner.signUpload(name, id, state);
      assert.deepEqual(urlSigner.readUpload(name, id, signed), state);
      const [, , , names = ''] = signed.split('.');
      const [actor, rule] = JSON.parse(Buffer.from(names, 'base64url').toString()) as (string | null)[];
      assert.deepEqual([actor, rule ?? undefined], [state.writer?.actor ?? '', state.writer?.rule]);
    }
  });

  it('the name of a writer of any length fits a URL', () => {
    const writer = { actor: '世'.repeat(5_000), rule: '世'.repeat(5_000) };
    const state = urlSigner.signUpload(name, id, { offset: 5, writer });
    assert.ok(state.length < 3_000, String(state.length));
    assert.equal(urlSigner.readUpload(name, id, state).writer?.actor, '世'.repeat(255));
  });

  it('each purpose signs with its own key, which other versions of the registry derive too', () => {
    const expectedOf = (label: string, fields: readonly string[]) =>
      createHmac('sha256', Buffer.from(hkdfSync('sha256', 'secret', '', label, 32)))
        .update(fields.join('\n'))
        .digest('base64url');
    const claim = `1.5.${time.now() / 1000 + uploadLifetimeSeconds}`;
    const expected = `${claim}.${expectedOf('stowage upload state', [claim, name, id])}`;
    assert.equal(urlSigner.signUpload(name, id, { offset: 5 }), expected);
    const expires = String(time.now() / 1000 + blobUrlLifetimeSeconds);
    assert.deepEqual(Object.fromEntries(urlSigner.signBlob(name, digest)), {
      expires,
      signature: expectedOf('stowage signed blob url', [expires, name, digest]),
    });
  });
});
