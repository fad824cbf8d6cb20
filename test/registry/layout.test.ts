import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDigest, digestFrom, type Digest } from '../../lib/protocol/digests.ts';
import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { isTag, parseTag, type Tag } from '../../lib/protocol/tags.ts';
import {
  blobData,
  layerLink,
  repositoriesPrefix,
  repositoryPrefix,
  revisionLink,
  tagIndexLink,
  tagLink,
  tagsPrefix,
  uploadData,
  uploadSession,
} from '../../lib/registry/layout.ts';
import { assertKey } from '../../lib/storage/store.ts';

interface Input {
  readonly name: RepositoryName;
  readonly tag: Tag;
  readonly digest: Digest;
  readonly id: string;
  readonly attempt: string;
}

interface Kind {
  readonly make: (input: Input) => string;
  readonly below: (input: Input) => string;
  /** What the key depends on. */
  readonly of: readonly (keyof Input)[];
}

/** Every kind of key, with the folder it must be in. */
const kinds: Readonly<Record<string, Kind>> = {
  blob: {
    make: ({ digest }) => blobData(digest),
    below: () => 'docker/registry/v2/blobs/sha256/',
    of: ['digest'],
  },
  layer: {
    make: ({ name, digest }) => layerLink(name, digest),
    below: ({ name }) => repositoryPrefix(name),
    of: ['name', 'digest'],
  },
  revision: {
    make: ({ name, digest }) => revisionLink(name, digest),
    below: ({ name }) => repositoryPrefix(name),
    of: ['name', 'digest'],
  },
  tag: {
    make: ({ name, tag }) => tagLink(name, tag),
    below: ({ name, tag }) => `${tagsPrefix(name)}${tag}/`,
    of: ['name', 'tag'],
  },
  past: {
    make: ({ name, tag, digest }) => tagIndexLink(name, tag, digest),
    below: ({ name, tag }) => `${tagsPrefix(name)}${tag}/`,
    of: ['name', 'tag', 'digest'],
  },
  session: {
    make: ({ id }) => uploadSession(id),
    below: ({ id }) => `docker/registry/v2/uploads/${id}/`,
    of: ['id'],
  },
  data: {
    make: ({ id, attempt }) => uploadData(id, attempt),
    below: ({ id }) => `docker/registry/v2/uploads/${id}/`,
    of: ['id', 'attempt'],
  },
};

const separator = fc.constantFrom('.', '_', '__', '-', '--', '/');
const word = fc.constantFrom(
  'a',
  'b',
  '0',
  'tags',
  'manifests',
  'layers',
  'uploads',
  'index',
  'current',
  'link',
  'data',
);
const name = fc
  .array(fc.tuple(word, separator), { minLength: 1, maxLength: 6 })
  .map((pairs) => pairs.flat().slice(0, -1).join(''))
  .map(parseRepositoryName);
const tag = fc.oneof(word, fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}$/)).map(parseTag);
const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => digestFrom('sha256', hex));
const attempt = fc.stringMatching(/^[0-9a-f]{8}$/);
const input = fc.record({ name, tag, digest, id: fc.uuid(), attempt });

describe('the keys of the bucket', () => {
  it('keys of the bucket are those of distribution', () => {
    const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    const one = {
      name: parseRepositoryName('library/alpine'),
      tag: parseTag('v1.0'),
      digest: digestFrom('sha256', hex),
      id: '1c4bb5e0-7b8c-4ad8-9d4b-6c1a4c1f0e11',
      attempt: '0badcafe',
    };
    const repository = 'docker/registry/v2/repositories/library/alpine';
    assert.deepEqual(Object.fromEntries(Object.entries(kinds).map(([kind, { make }]) => [kind, make(one)])), {
      blob: `docker/registry/v2/blobs/sha256/e3/${hex}/data`,
      layer: `${repository}/_layers/sha256/${hex}/link`,
      revision: `${repository}/_manifests/revisions/sha256/${hex}/link`,
      tag: `${repository}/_manifests/tags/v1.0/current/link`,
      past: `${repository}/_manifests/tags/v1.0/index/sha256/${hex}/link`,
      session: 'docker/registry/v2/uploads/1c4bb5e0-7b8c-4ad8-9d4b-6c1a4c1f0e11/session',
      data: 'docker/registry/v2/uploads/1c4bb5e0-7b8c-4ad8-9d4b-6c1a4c1f0e11/data-0badcafe',
    });
  });

  for (const [kind, { make, below }] of Object.entries(kinds))
    it(`keys keep each ${kind} in its folder and are valid on every store`, () => {
      fc.assert(
        fc.property(input, (one) => {
          const key = make(one);
          assertKey(key);
          assert.ok(key.startsWith(below(one)), key);
          assert.ok(key.length > below(one).length, key);
        }),
      );
    });

  it('keys of the longest name, tag and digest fit every store', () => {
    const longest = {
      name: parseRepositoryName('a'.repeat(255)),
      tag: parseTag('t'.repeat(128)),
      digest: digestFrom('sha256', 'f'.repeat(64)),
      id: randomUUID(),
      attempt: 'ffffffff',
    };
    for (const { make } of Object.values(kinds)) assertKey(make(longest));
  });

  it('keys differ exactly if their content differs', () => {
    fc.assert(
      fc.property(
        input,
        input,
        fc.subarray(['name', 'tag', 'digest', 'id', 'attempt'] as const),
        (one, other, shared) => {
          const second = { ...other, ...Object.fromEntries(shared.map((field) => [field, one[field]])) };
          for (const [kind, { make, of }] of Object.entries(kinds)) {
            const same = of.every((field) => one[field] === second[field]);
            assert.equal(make(one) === make(second), same, `${kind}: ${make(one)} and ${make(second)}`);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('keys of different kinds never collide', () => {
    fc.assert(
      fc.property(input, input, (one, other) => {
        const makers = Object.values(kinds);
        for (const [i, first] of makers.entries())
          for (const second of makers.slice(i + 1)) assert.notEqual(first.make(one), second.make(other));
      }),
    );
  });

  it('keys of a repository are not below those of another', () => {
    fc.assert(
      fc.property(name, name, digest, (one, other, content) => {
        fc.pre(one !== other);
        assert.equal(layerLink(one, content).startsWith(repositoryPrefix(other)), false);
        assert.equal(
          layerLink(parseRepositoryName(`${one}/${other}`), content).startsWith(repositoryPrefix(one)),
          false,
        );
      }),
    );
  });

  it('a key is never the folder of another', () => {
    fc.assert(
      fc.property(fc.array(input, { maxLength: 4 }), (inputs) => {
        const keys = inputs.flatMap((one) => Object.values(kinds).map(({ make }) => make(one)));
        for (const key of keys)
          assert.equal(
            keys.some((other) => other.startsWith(`${key}/`)),
            false,
            key,
          );
      }),
    );
  });
});

describe('what a client sends', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom(
        '..',
        '.',
        '/',
        'a',
        '_',
        '%2e',
        '%2F',
        '\0',
        '\\',
        ':',
        'sha256:',
        '\n',
        'é',
        'A',
        '-',
        'f'.repeat(64),
      ),
      maxLength: 12,
    }),
  );

  it('input of clients never leads to a key outside the folder of its kind', () => {
    const made = (text: string): string[] => [
      ...(isRepositoryName(text)
        ? [layerLink(parseRepositoryName(text), digestFrom('sha256', '0'.repeat(64)))]
        : []),
      ...(isTag(text) ? [tagLink(parseRepositoryName('a'), parseTag(text))] : []),
      ...orNone(() => blobData(parseDigest(text))),
      ...orNone(() => blobData(parseDigest(`sha256:${text}`))),
    ];
    let keys = 0;
    fc.assert(
      fc.property(hostile, (text) => {
        for (const key of made(text)) {
          keys += 1;
          assertKey(key);
          assert.match(key, /^[a-zA-Z0-9/._-]+$/);
          assert.ok(
            key.startsWith(repositoriesPrefix) || key.startsWith('docker/registry/v2/blobs/sha256/'),
            key,
          );
          // Nothing a client chooses stands for a folder of the layout's own.
          assert.equal(
            key.split('/').filter((segment) => segment.startsWith('_') && segment !== text).length <= 1,
            true,
            key,
          );
        }
      }),
      { numRuns: 5000 },
    );
    assert.ok(keys > 0, 'no text was valid, so nothing was shown');
  });
});

function orNone<T>(make: () => T): T[] {
  try {
    return [make()];
  } catch {
    return [];
  }
}
