import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { TAG, digestOf, readBlobs, writeIndex, type Layout } from '../clients/images.ts';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const regctl: GoClient<'regctl'> = {
  name: 'regctl',
  target: 'github.com/regclient/regclient/cmd/regctl@v0.11.7',
  flows,
};

const app = 'regctl/app';
const copy = 'regctl/copy/of/app';
const other = 'regctl/sha512';

function flows(tool: Tool, registry: RegistryView): Flows {
  const named = (reference: string) => `${tool.address}/${reference}`;
  const plain = `--host=reg=${tool.address},tls=disabled`;
  const run = async (...args: string[]) => await tool.run(plain, ...args);
  const fed = async (input: string, ...args: string[]) => await tool.runWith({ input }, plain, ...args);
  const digestAt = async (reference: string) => (await run('image', 'digest', named(reference))).text;
  let layout: Layout;

  /** Puts an artifact that refers to an image; returns its digest. */
  const put = async (subject: string, type: string, input: string) => {
    const flags = ['--artifact-type', type, '--subject', named(subject)];
    return (await fed(input, 'artifact', 'put', ...flags, '--format', '{{.Manifest.GetDescriptor.Digest}}'))
      .text;
  };

  /** The types of what refers to an image, sorted. */
  const list = async (reference: string, ...flags: string[]) => {
    const { text } = await run(
      'artifact',
      'list',
      ...flags,
      '--format',
      '{{json .Descriptors}}',
      named(reference),
    );
    return (JSON.parse(text) as { artifactType: string }[] | null)
      ?.map(({ artifactType }) => artifactType)
      .sort();
  };

  return {
    'copies an index with all its images in and out': async () => {
      layout = await writeIndex(await tool.newFolder('layout'), ['amd64', 'arm64', 's390x']);
      await run('image', 'copy', `ocidir://${layout.folder}:${TAG}`, named(`${app}:1`));
      assert.equal(await digestAt(`${app}:1`), layout.digest);
      await run('image', 'copy', named(`${app}:1`), `ocidir://${tool.path('copied')}:${TAG}`);
      assert.deepEqual(await readBlobs(tool.path('copied')), await readBlobs(layout.folder));
    },

    'uploads a blob of unknown size in chunks, and gets the same bytes': async () => {
      const bytes = await tool.write('blob', 12_000_000);
      const digest = (await fed('blob', 'blob', 'put', named('regctl/blobs'))).text;
      assert.equal(digest, digestOf(bytes));
      assert.ok(registry.answers('PATCH', 'regctl/blobs', 'blobs/uploads/').length > 1);
      assert.ok((await run('blob', 'get', named('regctl/blobs'), digest)).bytes.equals(bytes));
    },

    'mounts blobs without naming a repository that has them': async () => {
      const digest = digestOf(await tool.read('blob'));
      await run(
        'artifact',
        'put',
        '--artifact-type',
        'test/file',
        '--file',
        'blob',
        named('regctl/mounted:1'),
      );
      // The last upload is the file, after the empty config.
      assert.equal(registry.answers('POST', 'regctl/mounted', 'blobs/uploads/').at(-1), 201);
      const { bytes } = await run('artifact', 'get', named('regctl/mounted:1'));
      assert.equal(digestOf(bytes), digest);
    },

    'puts artifacts that refer to an image, which need no tag': async () => {
      await tool.write('signature', 'a signature');
      const signature = await put(`${app}:1`, 'test/signature', 'signature');
      await put(`${app}:1`, 'test/sbom', 'signature');
      await put(`${app}@${signature}`, 'test/signature-of-it', 'signature');
      assert.deepEqual(await registry.referrers(app, layout.digest), ['test/sbom', 'test/signature']);
      assert.deepEqual(await registry.tags(app), ['1']);
    },

    'lists them, all or those of a type, and shows the tree': async () => {
      assert.deepEqual(await list(`${app}:1`), ['test/sbom', 'test/signature']);
      assert.deepEqual(await list(`${app}:1`, '--filter-artifact-type', 'test/sbom'), ['test/sbom']);
      const { text } = await run('artifact', 'tree', named(`${app}:1`));
      for (const type of ['sbom', 'signature', 'signature-of-it'])
        assert.match(text, new RegExp(`: test/${type}$`, 'm'));
      assert.ok(registry.answers('GET', app, `referrers/${layout.digest}`).includes(200));
    },

    'copies to another repository with all that refers to it, and mounts the blobs': async () => {
      await run('image', 'copy', '--referrers', named(`${app}:1`), named(`${copy}:1`));
      assert.equal(await digestAt(`${copy}:1`), layout.digest);
      assert.deepEqual(await list(`${copy}:1`), ['test/sbom', 'test/signature']);
      assert.deepEqual(await registry.tags(copy), ['1']);
      assert.deepEqual(new Set(registry.answers('POST', copy, 'blobs/uploads/')), new Set([201]));
    },

    'exports an image and imports the same': async () => {
      await run('image', 'export', named(`${app}:1`), 'exported.tar');
      await run('image', 'import', named('regctl/imported:1'), 'exported.tar');
      assert.equal(await digestAt('regctl/imported:1'), layout.digest);
    },

    'uploads a blob under its SHA-512': async () => {
      const bytes = await tool.read('blob');
      const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
      await fed('blob', 'blob', 'put', '--digest', digest, named(other));
      assert.ok((await run('blob', 'get', named(other), digest)).bytes.equals(bytes));
    },

    'turns an image into one with SHA-512 alone, under a tag, and copies that': async () => {
      await run(
        'image',
        'mod',
        '--digest-algo',
        'sha512',
        '--create',
        named(`${other}:1`),
        named(`${app}:1`),
      );
      const digest = await digestAt(`${other}:1`);
      assert.match(digest, /^sha512:/);
      assert.doesNotMatch(
        (await run('manifest', 'get', '--format', 'raw-body', named(`${other}:1`))).text,
        /sha256:/,
      );
      await run('image', 'copy', named(`${other}:1`), named('regctl/sha512/copy:1'));
      assert.equal(await digestAt('regctl/sha512/copy:1'), digest);
      assert.equal(await digestAt(`regctl/sha512/copy@${digest}`), digest);
      const back = `ocidir://${tool.path('sha512')}:${TAG}`;
      await run('image', 'copy', named(`${other}:1`), back);
      assert.equal((await run('image', 'digest', back)).text, digest);
    },

    'puts an artifact that refers to a SHA-512, and finds it': async () => {
      await put(`${other}:1`, 'test/signature', 'signature');
      assert.deepEqual(await list(`${other}:1`), ['test/signature']);
      assert.deepEqual(await registry.tags(other), ['1']);
    },

    'makes an index of a part of another, and takes one from it': async () => {
      await run(
        'index',
        'create',
        named('regctl/index:1'),
        '--ref',
        named(`${app}:1`),
        '--platform',
        'linux/arm64',
      );
      await run(
        'index',
        'add',
        named('regctl/index:1'),
        '--ref',
        named(`${app}:1`),
        '--platform',
        'linux/s390x',
      );
      const arm = (await run('image', 'digest', '--platform', 'linux/arm64', named('regctl/index:1'))).text;
      assert.equal(arm, (await run('image', 'digest', '--platform', 'linux/arm64', named(`${app}:1`))).text);
      await run('index', 'delete', named('regctl/index:1'), '--digest', arm);
      const { text } = await run('manifest', 'get', '--format', 'raw-body', named('regctl/index:1'));
      assert.equal((JSON.parse(text) as { manifests: unknown[] }).manifests.length, 1);
    },

    'lists tags and repositories': async () => {
      for (const tag of ['2', '3']) await run('image', 'copy', named(`${app}:1`), named(`${app}:${tag}`));
      assert.deepEqual((await run('tag', 'ls', named(app))).text.split('\n'), ['1', '2', '3']);
      assert.deepEqual((await run('tag', 'ls', '--limit', '1', '--last', '1', named(app))).text, '2');
      assert.ok((await run('repo', 'ls', tool.address)).text.split('\n').includes(copy));
    },

    'deletes a tag, and leaves the manifest': async () => {
      await run('tag', 'delete', named(`${app}:2`));
      assert.deepEqual(await registry.tags(app), ['1', '3']);
      assert.equal(await digestAt(`${app}@${layout.digest}`), layout.digest);
    },

    'deletes what refers to an image, which is then listed no more': async () => {
      const { text } = await run(
        'artifact',
        'list',
        '--format',
        '{{range .Descriptors}}{{println .Digest}}{{end}}',
        named(`${app}:1`),
      );
      for (const digest of text.split('\n')) await run('manifest', 'delete', named(`${app}@${digest}`));
      assert.deepEqual(await registry.referrers(app, layout.digest), []);
      assert.deepEqual(await list(`${copy}:1`), ['test/sbom', 'test/signature']);
    },

    'deletes a manifest with its tags': async () => {
      await run('manifest', 'delete', '--force-tag-dereference', named(`${app}:1`));
      assert.deepEqual(await registry.tags(app), []);
      await assert.rejects(run('manifest', 'get', named(`${app}@${layout.digest}`)), /not found/);
    },

    'deletes a blob': async () => {
      const digest = digestOf(await tool.read('blob'));
      await run('blob', 'delete', named('regctl/mounted'), digest);
      await assert.rejects(run('blob', 'head', named('regctl/mounted'), digest), /not found/);
      await run('blob', 'head', named('regctl/blobs'), digest);
    },
  };
}
