import assert from 'node:assert/strict';
import type { CiClient } from '../clients/ci-jobs.ts';
import { digestOf, readBlobs, tar, writeIndex, type Layout } from '../clients/images.ts';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const crane: GoClient<'crane'> = {
  name: 'crane',
  target: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  flows,
  ci,
};

const app = 'crane/app';
const platforms = ['linux/amd64', 'linux/arm64'];

/** To crane, a registry on loopback speaks plain HTTP. */
function flows(tool: Tool, registry: RegistryView): Flows {
  const named = (reference: string) => `${tool.address}/${reference}`;
  const digestAt = async (reference: string, ...flags: string[]) =>
    (await tool.run('digest', named(reference), ...flags)).text;
  const lines = async (...args: string[]) => (await tool.run(...args)).text.split('\n');
  let digest = '';
  let layout: Layout;

  return {
    'appends layers to an image of nothing, of Docker and of OCI': async () => {
      for (const name of ['first', 'second'])
        await tool.write(`${name}.tar`, tar([{ name, content: await tool.write(name, 2_000_000) }]));
      await tool.run('append', '--new_layer', 'first.tar', '--new_tag', named(`${app}:base`));
      await tool.run('append', '--base', named(`${app}:base`), '-f', 'second.tar', '-t', named(`${app}:1`));
      await tool.run('append', '--oci-empty-base', '-f', 'first.tar', '-t', named('crane/oci:1'));
      await tool.run('validate', '--remote', named(`${app}:1`));
      await tool.run('validate', '--remote', named('crane/oci:1'));
      digest = await digestAt(`${app}:1`);
    },

    'reads the manifest, the config and a layer': async () => {
      const { bytes } = await tool.run('manifest', named(`${app}:1`));
      assert.equal(digestOf(bytes), digest);
      const { config, layers } = JSON.parse(bytes.toString()) as Record<'config', { digest: string }> &
        Record<'layers', { digest: string }[]>;
      assert.equal(digestOf((await tool.run('config', named(`${app}:1`))).bytes), config.digest);
      for (const layer of layers)
        assert.equal(digestOf((await tool.run('blob', named(`${app}@${layer.digest}`))).bytes), layer.digest);
    },

    'exports the files': async () => {
      await tool.run('export', named(`${app}:1`), 'exported.tar');
      const exported = await tool.read('exported.tar');
      for (const name of ['first', 'second']) assert.ok(exported.includes(await tool.read(name)), name);
    },

    'pulls an image and pushes the same to another repository': async () => {
      await tool.run('pull', named(`${app}@${digest}`), 'image.tar');
      await tool.run('push', 'image.tar', named('crane/pushed:1'));
      assert.equal(await digestAt('crane/pushed:1'), digest);
    },

    'copies an image to another repository, and mounts its blobs': async () => {
      await tool.run('copy', named(`${app}:1`), named('crane/copy/of/app:1'));
      assert.equal(await digestAt('crane/copy/of/app:1'), digest);
      await tool.run('validate', '--remote', named('crane/copy/of/app:1'));
      registry.assertMounted('crane/copy/of/app', 3);
    },

    'copies all tags of a repository': async () => {
      await tool.run('copy', '--all-tags', named(app), named('crane/all'));
      assert.deepEqual(await registry.tags('crane/all'), ['1', 'base']);
    },

    'makes an index of images of several platforms, and finds each of them': async () => {
      for (const platform of platforms)
        await tool.run(
          ...['mutate', '--set-platform', platform, '--label', `for=${platform}`],
          ...['--tag', named(`${app}:${platform.replace('/', '-')}`), named(`${app}:1`)],
        );
      const images = platforms.flatMap((platform) => ['-m', named(`${app}:${platform.replace('/', '-')}`)]);
      await tool.run('index', 'append', ...images, '--tag', named(`${app}:multi`));
      for (const platform of platforms)
        assert.equal(
          await digestAt(`${app}:multi`, '--platform', platform),
          await digestAt(`${app}:${platform.replace('/', '-')}`),
        );
    },

    'copies the index with all its images': async () => {
      await tool.run('copy', named(`${app}:multi`), named('crane/multi:1'));
      assert.equal(await digestAt('crane/multi:1'), await digestAt(`${app}:multi`));
      await tool.run('validate', '--remote', named('crane/multi:1'));
    },

    'pushes an index from a layout and pulls the same blobs': async () => {
      layout = await writeIndex(await tool.newFolder('layout'), ['amd64', 'arm64', 's390x']);
      await tool.run('push', '--index', layout.folder, named('crane/layout:1'));
      const top = (await tool.run('manifest', named('crane/layout:1'))).text;
      const wrapped = JSON.parse(top) as { manifests: { digest: string }[] };
      assert.deepEqual(
        wrapped.manifests.map((manifest) => manifest.digest),
        [layout.digest],
      );
      await tool.run('pull', '--format=oci', named(`crane/layout@${layout.digest}`), tool.path('pulled'));
      assert.deepEqual(await readBlobs(tool.path('pulled')), await readBlobs(layout.folder));
    },

    'tags, and lists tags and repositories': async () => {
      await tool.run('tag', named(`${app}:1`), 'stable');
      assert.equal(await digestAt(`${app}:stable`), digest);
      const tags = ['1', 'base', 'linux-amd64', 'linux-arm64', 'multi', 'stable'];
      assert.deepEqual(await lines('ls', named(app)), tags);
      const repositories = (await lines('catalog', tool.address)).filter((name) => name.startsWith('crane/'));
      const names = ['all', 'app', 'copy/of/app', 'layout', 'multi', 'oci', 'pushed'];
      assert.deepEqual(
        repositories,
        names.map((name) => `crane/${name}`),
      );
    },

    'deletes a tag, and leaves the manifest': async () => {
      await tool.run('delete', named('crane/pushed:1'));
      assert.deepEqual(await registry.tags('crane/pushed'), []);
      assert.equal(await digestAt(`crane/pushed@${digest}`), digest);
    },

    'deletes a manifest with its tags': async () => {
      await tool.run('delete', named(`${app}@${digest}`));
      assert.deepEqual(await lines('ls', named(app)), ['base', 'linux-amd64', 'linux-arm64', 'multi']);
      await assert.rejects(tool.run('manifest', named(`${app}@${digest}`)), /MANIFEST_UNKNOWN/);
      await tool.run('validate', '--remote', named('crane/copy/of/app:1'));
    },
  };
}

function ci(tool: Tool): CiClient {
  return {
    keeps: 'the job token',
    asks: { login: ['the job token, by GET'], stored: ['our token as password, by GET'] },
    believes: true,
    file: tool.path('.docker/config.json'),
    login: async (address, password) =>
      await tool.run('auth', 'login', '--username', 'oidc', '--password', password, address),
    push: async (reference) => {
      await tool.write('ci.tar', tar([{ name: 'file', content: await tool.write('ci', 1000) }]));
      await tool.run('append', '--new_layer', 'ci.tar', '--new_tag', reference);
    },
  };
}
