import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JsonError, JsonReader, type JsonLimits } from '../../lib/protocol/json-reader.ts';

const free: JsonLimits = { depth: Infinity, values: Infinity, repeatedKeys: true };
const unique: JsonLimits = { ...free, repeatedKeys: false };

/** All of a document, as JSON.parse makes it. */
function build(json: JsonReader): unknown {
  switch (json.kind()) {
    case 'object': {
      const entries: [string, unknown][] = [];
      json.object((key) => entries.push([key, build(json)]));
      return Object.fromEntries(entries);
    }
    case 'list': {
      const list: unknown[] = [];
      json.list((index) => (list[index] = build(json)));
      return list;
    }
    case 'text':
      return json.text();
    case 'number':
      return Number(json.number());
    case 'boolean':
    case 'null':
      json.skip();
      return 'a word';
  }
}

const words = (_: string, value: unknown) =>
  typeof value === 'boolean' || value === null ? 'a word' : value;

function read<T>(text: string | Buffer, take: (json: JsonReader) => T, limits = free): T {
  const json = new JsonReader(Buffer.from(text), limits);
  const value = take(json);
  json.end();
  return value;
}

const skip = (json: JsonReader): void => {
  json.skip();
};

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('JsonReader', () => {
  it('JsonReader reads the same as JSON.parse, with any indentation', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(4), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        assert.deepEqual(read(text, build), JSON.parse(text, words));
        read(text, skip);
      }),
    );
  });

  it('JsonReader refuses exactly what JSON.parse refuses, read or skipped', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '\\',
      '\\u00e9',
      '\\x',
      '0',
      '1',
      '-',
      '.',
      'e',
      'E+',
    ];
    const text = fc.array(
      fc.constantFrom(
        ...pieces,
        ' ',
        '\t',
        '\n',
        '\r',
        '\f',
        '\u00a0',
        '\u0001',
        'true',
        'false',
        'null',
        'nul',
        'é',
      ),
      { maxLength: 8 },
    );
    const altered = fc.tuple(fc.json(), fc.nat(), fc.nat(), text).map(([json, at, length, between]) => {
      const start = at % (json.length + 1);
      return json.slice(0, start) + between.join('') + json.slice(start + (length % 3));
    });
    fc.assert(
      fc.property(
        fc.oneof(
          text.map((list) => list.join('')),
          altered,
        ),
        (json) => {
          // A half of a character is none in UTF-8.
          fc.pre(json.isWellFormed());
          for (const take of [build, skip])
            if (isJson(json)) read(json, take);
            else assert.throws(() => read(json, take), JsonError, json);
        },
      ),
      { numRuns: 3000 },
    );
  });

  for (const number of ['0', '-0', '10', '5.0', '-1e400', '1E+09', '0.1e-1', '9'.repeat(1000)])
    it(`JsonReader returns ${number.slice(0, 20)} as written`, () => {
      assert.equal(
        read(` ${number} `, (json) => json.number()),
        number,
      );
    });

  it('JsonReader skips 4 MiB of brackets and of escapes', () => {
    read(`${'['.repeat(2 ** 21)}${']'.repeat(2 ** 21)}`, skip);
    read(JSON.stringify('"\\'.repeat(2 ** 20)), skip);
  });

  it('JsonReader counts the depth of read and skipped values', () => {
    const limits = { ...free, depth: 3 };
    for (const take of [build, skip]) {
      read('[{"a":[]},[[],[]],{"b":{}}]', take, limits);
      for (const text of ['[[[[]]]]', '{"a":[{"b":{}}]}', '[[[]],[[[', '[[[{'])
        assert.throws(() => read(text, take, limits), { fault: 'may be nested 3 deep at most' });
    }
  });

  it('JsonReader counts values including objects and lists', () => {
    const text = '[1,"a",{"b":null,"c":[true]}]';
    for (const take of [build, skip]) {
      read(text, take, { ...free, values: 7 });
      assert.throws(() => read(text, take, { ...free, values: 6 }), { fault: 'may have 6 values at most' });
    }
  });

  describe('with unique keys', () => {
    const twice = (text: string, key: string) => {
      for (const take of [build, skip])
        assert.throws(() => read(text, take, unique), {
          fault: `has ${JSON.stringify(key)} twice in one object`,
        });
      JSON.parse(text);
      read(text, skip);
    };

    for (const [json, key] of [
      ['{"a":1,"a":2}', 'a'],
      ['{"a":{"b":1,"c":[{"d":1,"d":1}]}}', 'd'],
      ['{"a":1,"\\u0061":2}', 'a'],
      ['{"a":{"x":1},"b":2,"a":{"y":2}}', 'a'],
      ['[{"":1,"":2}]', ''],
      ['{"a\\"b":1 , "a\\"b" : 2}', 'a"b'],
      ['{"\\\\":"{","\\\\":"}"}', '\\'],
      ['{"__proto__":1,"__proto__":2}', '__proto__'],
      ['{"\\ud800":1,"\\udfff":2}', '\ufffd'],
    ] as const)
      it(`refuses ${JSON.stringify(key)} twice in ${json}`, () => {
        twice(json, key);
      });

    for (const json of [
      '{"a":"a","b":["a","a"],"c":{"a":1},"d":{"a":1}}',
      '[{"a":1},{"a":1}]',
      '{"a":":\\"a\\":","A":1}',
      '"a"',
      '12',
    ])
      it(`takes ${json}`, () => {
        for (const take of [build, skip]) read(json, take, unique);
      });

    it('accepts the output of JSON.stringify', () => {
      fc.assert(
        fc.property(fc.jsonValue(), (value) => {
          read(JSON.stringify(value), skip, unique);
        }),
      );
    });

    it('finds a duplicate key in any nested object', () => {
      const written = fc.letrec<{ tree: string }>((tie) => ({
        tree: fc.oneof(
          fc.constant('{"k":0,"other":[1,{"k":"k"}],"k":1}'),
          fc.tuple(fc.string(), tie('tree')).map(([key, tree]) => `{${JSON.stringify(`${key}-`)}:${tree}}`),
          fc.tuple(fc.jsonValue(), tie('tree')).map(([value, tree]) => `[${JSON.stringify(value)}, ${tree}]`),
        ),
      })).tree;
      fc.assert(
        fc.property(written, (json) => {
          twice(json, 'k');
        }),
      );
    });
  });
});
