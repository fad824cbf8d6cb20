import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { MountHints } from '../../lib/registry/mount-hints.ts';

const name = parseRepositoryName('secret-team/secret-app');
const longest = parseRepositoryName('a'.repeat(255));

const component = fc.stringMatching(/^[a-z0-9]{1,12}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,12}){0,3}$/);
const names = fc
  .array(component, { minLength: 1, maxLength: 12 })
  .map((components) => components.join('/'))
  .filter(isRepositoryName);

/** The one value there is. */
function sealedBy(origins: MountHints, of: RepositoryName): string {
  const values = Object.values(origins.metadataFor(of));
  assert.equal(values.length, 1);
  return values[0] ?? '';
}

/** What was noted, with its value changed. */
function changed(origins: MountHints, change: (value: string) => string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(origins.metadataFor(name)).map(([field, value]) => [field, change(value)]),
  );
}

describe('mount hints', () => {
  it('a mount hint is read by every process with the secret', () => {
    const origins = new MountHints(['hunter2']);
    fc.assert(
      fc.property(names, (each) => {
        assert.equal(new MountHints(['hunter2']).read(origins.metadataFor(each)), each);
      }),
    );
    assert.equal(origins.read(origins.metadataFor(longest)), longest);
  });

  it('a mount hint is read beside other metadata', () => {
    const origins = new MountHints(['hunter2']);
    assert.equal(origins.read({ ...origins.metadataFor(name), 'manifest-size': '5' }), name);
  });

  it('a mount hint is ignored with another secret', () => {
    const noted = new MountHints(['hunter2']).metadataFor(name);
    for (const secrets of [['hunter3'], ['Hunter2'], ['hunter2 '], ['a', 'b'], []])
      assert.equal(new MountHints(secrets).read(noted), undefined, secrets.join());
  });

  it('a mount hint is read with the previous secret and written with the new one', () => {
    const [before, now, after] = [['old'], ['new', 'old'], ['new']].map((each) => new MountHints(each));
    assert.ok(before && now && after);
    assert.equal(now.read(before.metadataFor(name)), name);
    assert.equal(after.read(now.metadataFor(name)), name);
    assert.equal(before.read(now.metadataFor(name)), undefined);
  });

  it('a mount hint is ignored if any bit was changed', () => {
    const origins = new MountHints(['hunter2']);
    const size = Buffer.from(sealedBy(origins, name), 'base64url').length;
    for (let bit = 0; bit < size * 8; bit += 1) {
      const flipped = changed(origins, (value) => {
        const bytes = Buffer.from(value, 'base64url');
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return bytes.toString('base64url');
      });
      assert.equal(origins.read(flipped), undefined, `bit ${bit}`);
    }
  });

  it('a mount hint is ignored if it was truncated or padded', () => {
    const origins = new MountHints(['hunter2']);
    const { length } = sealedBy(origins, name);
    for (let end = 0; end < length; end += 1)
      assert.equal(origins.read(changed(origins, (value) => value.slice(0, end))), undefined, `${end}`);
    for (const change of [(value: string) => `AAAA${value}`, (value: string) => `${value}AAAA`])
      assert.equal(origins.read(changed(origins, change)), undefined);
  });

  it('a mount hint is ignored if another program wrote it', () => {
    const origins = new MountHints(['hunter2']);
    const [field = ''] = Object.keys(origins.metadataFor(name));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String({ maxLength: 400 })), (value) => {
        assert.equal(origins.read({ [field]: value }), undefined);
      }),
    );
    for (const value of [name, Buffer.from(name).toString('base64url'), 'A'.repeat(100_000)])
      assert.equal(origins.read({ [field]: value }), undefined);
    assert.equal(origins.read({}), undefined);
  });

  it('a mount hint differs each time, so that blobs of one repository cannot be correlated', () => {
    const origins = new MountHints(['hunter2']);
    const values = Array.from({ length: 100 }, () => sealedBy(origins, name));
    assert.equal(new Set(values).size, values.length);
    // Nor by its beginning or its end.
    for (const part of [(value: string) => value.slice(0, 16), (value: string) => value.slice(-16)])
      assert.equal(new Set(values.map(part)).size, values.length);
  });

  it('a mount hint does not reveal the repository name', () => {
    const origins = new MountHints(['hunter2']);
    for (let i = 0; i < 50; i += 1) {
      const value = sealedBy(origins, name);
      const bytes = Buffer.from(value, 'base64url');
      for (const text of [value, bytes.toString('latin1'), bytes.toString('hex')])
        for (const word of name.split('/'))
          for (const form of [
            word,
            ...(['base64url', 'hex'] as const).map((as) => Buffer.from(word).toString(as)),
          ])
            assert.equal(text.includes(form), false);
    }
  });

  it('no mount hint is written without a secret', () => {
    assert.deepEqual(new MountHints([]).metadataFor(name), {});
  });

  it('a mount hint is valid metadata on every bucket: small ASCII with a name in lower case', () => {
    for (const [field, value] of Object.entries(new MountHints(['hunter2']).metadataFor(longest))) {
      assert.match(field, /^[a-z][a-z0-9-]*$/);
      assert.match(value, /^[\x21-\x7e]+$/);
      // S3 takes 2 KiB of all metadata of an object.
      assert.ok(field.length + value.length < 1024, `${value.length} characters`);
    }
  });
});
