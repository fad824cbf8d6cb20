import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { misspeltKey, repeatedKey } from '../../lib/protocol/json-keys.ts';

describe('repeatedKey', () => {
  for (const [json, key] of [
    ['{"a":1,"a":2}', 'a'],
    ['{"a":{"b":1,"c":[{"d":1,"d":1}]}}', 'd'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"a":{"x":1},"b":2,"a":{"y":2}}', 'a'],
    ['[{"":1,"":2}]', ''],
    ['{"a\\"b":1 , "a\\"b" : 2}', 'a"b'],
    ['{"\\\\":"{","\\\\":"}"}', '\\'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
  ] as const)
    it(`finds ${JSON.stringify(key)} in ${json}`, () => {
      assert.equal(repeatedKey(json), key);
    });

  for (const json of [
    '{"a":"a","b":["a","a"],"c":{"a":1},"d":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":":\\"a\\":","A":1}',
    '"a"',
    '12',
  ])
    it(`finds none in ${json}`, () => {
      assert.equal(repeatedKey(json), undefined);
    });

  it('finds none in what was written from objects, however it is indented', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(4), (value, indent) => {
        assert.equal(repeatedKey(JSON.stringify(value, undefined, indent)), undefined);
      }),
    );
  });

  it('finds any key that was written twice, wherever the object lies', () => {
    const written = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.oneof(
        fc.constant('{"k":0,"other":[1,{"k":"k"}],"k":1}'),
        fc.tuple(fc.string(), tie('tree')).map(([key, tree]) => `{${JSON.stringify(`${key}-`)}:${tree}}`),
        fc.tuple(fc.jsonValue(), tie('tree')).map(([value, tree]) => `[${JSON.stringify(value)}, ${tree}]`),
      ),
    })).tree;
    fc.assert(
      fc.property(written, (json) => {
        JSON.parse(json);
        assert.equal(repeatedKey(json), 'k');
      }),
    );
  });

  it('reads 4 MiB of escapes, of brackets and of keys', () => {
    for (const json of [
      JSON.stringify('"\\'.repeat(2 ** 20)),
      `${'['.repeat(2 ** 21)}${']'.repeat(2 ** 21)}`,
      `{${Array.from({ length: 2 ** 18 }, (_, i) => `"${i}":${i}`).join()}}`,
    ])
      assert.equal(repeatedKey(json), undefined);
  });
});

describe('misspeltKey', () => {
  const known = ['digest', 'size', 'mediaType'];

  for (const key of ['Digest', 'SIZE', 'mediatype', 'ſize', 'digeſt'])
    it(`finds ${key}, which Go takes for a field`, () => {
      assert.equal(misspeltKey(['digest', key], known), key);
    });

  it('finds none among the right ones and others', () => {
    assert.equal(misspeltKey(['digest', 'annotations', 'sizes', 'medíaType'], known), undefined);
  });
});
