import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { parseManifest } from '../../lib/protocol/manifests.ts';
import { whyNotGo } from '../servers/go.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { cleanEnvironment } from '../servers/process.ts';

type Kind = 'image' | 'index';

/** The program in go-types reads a list of manifests as clients in Go do. */
describe('what parseManifest takes', { skip: whyNotGo() ?? false }, () => {
  let folder: Folder;
  let program: string;

  before(async () => {
    folder = await temporaryFolder('go-types');
    program = join(folder.path, 'go-types');
    const source = join(import.meta.dirname, 'go-types/main.go');
    // It needs nothing but Go's own packages.
    const env = {
      ...cleanEnvironment(),
      GOFLAGS: '',
      GOPROXY: 'off',
      GOTOOLCHAIN: 'local',
      GO111MODULE: 'off',
    };
    const built = spawnSync('go', ['build', '-o', program, source], { env, encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
  });

  after(() => {
    folder.remove();
  });

  /** Of each manifest whether Go reads it: `ok`, or why not. */
  function readByGo(documents: readonly (readonly [Kind, string])[]): string[] {
    const lines = documents.map(([kind, json]) => `${kind} ${Buffer.from(json).toString('base64')}\n`);
    const { status, stdout } = spawnSync(program, {
      input: lines.join(''),
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    assert.equal(status, 0);
    const answers = stdout.trimEnd().split('\n');
    assert.equal(answers.length, documents.length);
    return answers;
  }

  function refusal(json: string): string | undefined {
    try {
      parseManifest(Buffer.from(json), undefined);
      return undefined;
    } catch (error) {
      const { failure, message } = error as { failure?: string; message: string };
      assert.equal(failure, 'MANIFEST_INVALID', message);
      return message;
    }
  }

  it('parseManifest accepts what Go reads, except for documented refusals', () => {
    const documents = fc.sample(manifests, { numRuns: 4000, seed: 1 });
    const answers = readByGo(documents);
    let both = 0;
    documents.forEach(([, json], i) => {
      const [ours, theirs] = [refusal(json), answers[i]];
      assert.equal(ours ?? 'ok', theirs === 'ok' ? 'ok' : (ours ?? `a refusal, as Go's: ${theirs}`), json);
      both += Number(ours === undefined);
    });
    // Else they would agree on refusals alone.
    assert.ok(both > documents.length / 10 && both < documents.length / 1.1, `${both} were taken`);
  });

  for (const [what, kind, json] of [
    [
      'a descriptor without a size',
      'image',
      '{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"DIGEST"}}',
    ],
    [
      'a size that is null',
      'image',
      '{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"DIGEST","size":null}}',
    ],
    [
      'an empty media type',
      'image',
      '{"schemaVersion":2,"config":{"mediaType":"","digest":"DIGEST","size":1}}',
    ],
    ['no digest', 'image', '{"schemaVersion":2,"config":{"mediaType":"a/b","size":1}}'],
    [
      'a layer that is null',
      'image',
      '{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"DIGEST","size":1},"layers":[null]}',
    ],
    ['no config', 'image', '{"schemaVersion":2,"layers":[]}'],
    [
      'a size of less than nothing',
      'index',
      '{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"DIGEST","size":-1}]}',
    ],
    [
      'data as a list of numbers',
      'index',
      '{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"DIGEST","size":1,"data":[1]}]}',
    ],
    ['a key twice', 'index', '{"schemaVersion":2,"manifests":[],"x":1,"x":2}'],
    ['a key in another case', 'index', '{"schemaVersion":2,"Manifests":[]}'],
    ['a version that is null', 'index', '{"schemaVersion":null,"manifests":[]}'],
  ] as const)
    it(`parseManifest refuses ${what}, which Go reads`, () => {
      const document = json.replace('DIGEST', digest);
      assert.deepEqual(readByGo([[kind, document]]), ['ok']);
      assert.notEqual(refusal(document), undefined);
    });
});

const digest = `sha256:${'a'.repeat(64)}`;

/** Manifests in which every field is one of the right type, null, absent, or now and then anything else. */
const manifests = (() => {
  const any = fc.constantFrom(
    ...['7', '-1', '5.0', '1e2', '""', '"x"', 'true', '[]', '{}', 'null', '[null]', '["x"]'],
    '[1]',
    '{"a":1}',
    '{"a":null}',
    '{"a":"b"}',
    '"YQ=="',
    '9223372036854775808',
  );
  /** Mostly right, so that a whole manifest is now and then. */
  const mostly = (right: fc.Arbitrary<string>) =>
    fc.oneof(
      { arbitrary: right, weight: 60 },
      { arbitrary: fc.constant('null'), weight: 10 },
      { arbitrary: any, weight: 1 },
    );
  const text = mostly(fc.constantFrom('""', '"x"', '"a\\/b"', '"\\u00e9\\ud83d"', '"é"'));
  const texts = mostly(fc.array(text, { maxLength: 2 }).map((items) => `[${items.join()}]`));
  const map = mostly(
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('"a"', '"b"', '"A"', '""'), text), {
        maxLength: 3,
        selector: ([key]) => key,
      })
      .map((entries) => `{${entries.map(([key, value]) => `${key}:${value}`).join()}}`),
  );
  const base64 = fc
    .oneof(
      fc.string({ unit: fc.constantFrom('A', '+', '/', '=', '_', '\n', '\r', ' '), maxLength: 9 }),
      fc.uint8Array({ maxLength: 9 }).map((bytes) =>
        Buffer.from(bytes)
          .toString('base64')
          .replace(/(?<=..)/, '\n'),
      ),
    )
    .map((data) => JSON.stringify(data));
  const object = (
    required: Record<string, fc.Arbitrary<string>>,
    others: Record<string, fc.Arbitrary<string>>,
  ) =>
    fc.record({ ...required, ...others }, { requiredKeys: Object.keys(required) }).map(
      (fields) =>
        `{${Object.entries(fields)
          .map(([key, value]) => `"${key}":${value}`)
          .join()}}`,
    );
  const platform = mostly(
    object(
      {},
      {
        architecture: text,
        os: text,
        'os.version': text,
        'os.features': texts,
        variant: text,
        features: texts,
        more: any,
      },
    ),
  );
  // A descriptor is stricter than Go in these three, and in a list of numbers for data.
  const data = fc.oneof(
    { arbitrary: fc.constantFrom('null', '""', '"YQ=="', '"YWJj"'), weight: 8 },
    { arbitrary: base64, weight: 4 },
    { arbitrary: any.filter((json) => !json.startsWith('[')), weight: 1 },
  );
  const named = {
    mediaType: fc.constant('"a/b"'),
    digest: fc.constant(`"${digest}"`),
    size: fc.constantFrom('0', '-0', '5', '9007199254740991'),
  };
  const misnamed = {
    mediaType: fc.constantFrom('7', '[]', '{}'),
    digest: fc.constantFrom('7', '[]', '{}'),
    size: fc.constantFrom('5.0', '5e0', '"5"', '[]', '{}', 'true', '9223372036854775808'),
  };
  const more = { urls: texts, annotations: map, data, platform, artifactType: text, more: any };
  const descriptor = fc.oneof(
    { arbitrary: object(named, more), weight: 40 },
    ...(['mediaType', 'digest', 'size'] as const).map((field) => ({
      arbitrary: object({ ...named, [field]: misnamed[field] }, more),
      weight: 1,
    })),
    { arbitrary: fc.constantFrom('7', '"x"', '[]', 'true'), weight: 1 },
  );
  const descriptors = fc.oneof(
    { arbitrary: fc.array(descriptor, { maxLength: 2 }).map((items) => `[${items.join()}]`), weight: 20 },
    { arbitrary: fc.constant('null'), weight: 3 },
    { arbitrary: fc.constantFrom('{}', '7', '"x"'), weight: 1 },
  );
  const typeOf = (type: string) =>
    fc.oneof(
      { arbitrary: fc.constant(`"application/vnd.oci.image.${type}.v1+json"`), weight: 20 },
      { arbitrary: fc.constantFrom('null', '""', '7', '[]'), weight: 1 },
    );
  const version = fc.oneof(
    { arbitrary: fc.constant('2'), weight: 40 },
    { arbitrary: fc.constantFrom('2.0', '2e0', '"2"', '[]'), weight: 1 },
  );
  const common = {
    subject: fc.oneof(descriptor, fc.constant('null')),
    annotations: map,
    artifactType: text,
    more: any,
  };
  const image = object(
    { schemaVersion: version, config: descriptor },
    { mediaType: typeOf('manifest'), layers: descriptors, ...common },
  );
  const index = object(
    { schemaVersion: version, mediaType: typeOf('index').filter((type) => type.startsWith('"app')) },
    { manifests: descriptors, ...common },
  );
  return fc.oneof(
    image.map((json) => ['image', json] as const),
    index.map((json) => ['index', json] as const),
  );
})();
