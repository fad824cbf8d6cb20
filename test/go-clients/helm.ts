import assert from 'node:assert/strict';
import type { CiClient } from '../clients/ci-jobs.ts';
import { goPrograms } from '../servers/go-programs.ts';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const helm: GoClient<'helm'> = { name: 'helm', target: goPrograms.helm, flows, ci };

/** Helm writes a plus as an underscore in tags. */
const versions = ['0.1.0', '0.2.0', '0.2.1+build.5'];
const config = 'kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: {{ .Values.name }}\n';

function flows(tool: Tool, registry: RegistryView): Flows {
  const charts = `oci://${tool.address}/helm/charts`;
  const run = async (...args: string[]) => await tool.run(...args, '--plain-http');

  /** Pulls a chart into a new folder, and compares it with the one that was packaged. */
  const pulls = async (asked: string, version: string) => {
    const folder = await tool.newFolder(`pulled-${asked.replace(/\W/g, '-')}`);
    await run('pull', `${charts}/tiny`, '--version', asked, '--destination', folder);
    const name = `tiny-${version}.tgz`;
    assert.ok(
      (await tool.read(`${folder.slice(tool.path('').length)}/${name}`)).equals(await tool.read(name)),
    );
  };

  return {
    'pushes charts, and pulls the same bytes': async () => {
      await tool.write('tiny/values.yaml', 'name: some\n');
      await tool.write('tiny/templates/config.yaml', config);
      for (const version of versions) {
        await tool.write('tiny/Chart.yaml', `apiVersion: v2\nname: tiny\nversion: ${version}\n`);
        await tool.run('package', 'tiny');
        await run('push', `tiny-${version}.tgz`, charts);
      }
      for (const version of versions) await pulls(version, version);
      assert.deepEqual(await registry.tags('helm/charts/tiny'), ['0.1.0', '0.2.0', '0.2.1_build.5']);
    },

    'finds the newest of a range of versions': async () => {
      await pulls('<0.2.1', '0.2.0');
      await pulls('~0.1', '0.1.0');
    },

    'shows a chart, and renders it': async () => {
      assert.match(
        (await run('show', 'chart', `${charts}/tiny`, '--version', '0.1.0')).text,
        /^version: 0\.1\.0$/m,
      );
      assert.match((await run('template', 'release', `${charts}/tiny`)).text, /^ {2}name: some$/m);
    },

    'takes a chart as a dependency of another': async () => {
      const dependency = `{ name: tiny, version: ~0.1, repository: "${charts}" }`;
      await tool.write(
        'big/Chart.yaml',
        `apiVersion: v2\nname: big\nversion: 1.0.0\ndependencies:\n  - ${dependency}\n`,
      );
      await run('dependency', 'update', 'big');
      assert.ok((await tool.read('big/charts/tiny-0.1.0.tgz')).equals(await tool.read('tiny-0.1.0.tgz')));
    },

    'says that a chart is not there': async () => {
      await assert.rejects(run('pull', `${charts}/none`, '--version', '1.0.0'), /not found/);
      await assert.rejects(run('pull', `${charts}/tiny`, '--version', '9.0.0'), /not found/);
    },
  };
}

function ci(tool: Tool): CiClient {
  let patch = 0;
  return {
    keeps: 'the job token',
    asks: { login: ['the job token, by GET'], stored: ['our token as password, by GET'] },
    file: tool.path('.config/helm/registry/config.json'),
    dockerFile: tool.path('.docker/config.json'),
    login: async (address, password) =>
      await tool.run('registry', 'login', '--plain-http', '-u', 'oidc', '-p', password, address),
    push: async (reference) => {
      const version = `0.0.${++patch}`;
      await tool.write('ci/Chart.yaml', `apiVersion: v2\nname: ci\nversion: ${version}\n`);
      await tool.run('package', 'ci');
      await tool.run(
        'push',
        '--plain-http',
        `ci-${version}.tgz`,
        `oci://${reference.replace(/\/app:.*/, '')}`,
      );
    },
  };
}
