import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { forgetAll, idOf } from '../clients/docker-images.ts';
import { tar } from '../clients/images.ts';
import { toolOf, type Tool } from '../go-clients/tool.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { goProgramPlace, type GoProgram } from '../servers/go-programs.ts';
import { requires } from '../servers/requires.ts';
import { UserClient } from './client.ts';
import type { Stage } from './stage.ts';

const MiB = 1024 ** 2;

/** Clients push, pull, search and delete. @param largest bytes of a layer, more than functions take if there is a data plane */
export function clientsSuite(stage: () => Stage, largest: number): void {
  describe('docker', requires('dockerd'), () => {
    let folder: Folder;
    let daemon: Dockerd;
    let image: string;
    let id: string;

    before(async () => {
      folder = await temporaryFolder('deployed-docker');
      daemon = await dockerd();
      image = `${stage().address}/team/docker:v1`;
    });

    after(async () => {
      await daemon.stop();
      folder.remove();
    });

    it(`logs in, and pushes layers of 1 KB and ${largest / MiB} MiB`, async () => {
      const { address, user } = stage();
      await daemon.login(address, user.name, user.password);
      await writeFile(join(folder.path, 'base.tar'), tar([{ name: 'a', content: randomBytes(1000) }]));
      await writeFile(join(folder.path, 'large'), randomBytes(largest));
      await writeFile(join(folder.path, 'Dockerfile'), 'FROM base\nCOPY large /large\n');
      await daemon.docker('import', join(folder.path, 'base.tar'), 'base');
      await daemon.docker('build', '--tag', image, folder.path);
      id = await idOf(daemon.docker, image);
      const { text } = await daemon.docker('push', image);
      assert.equal(text.match(/: Pushed$/gm)?.length, 2, text);
    });

    it('pulls the same image', async () => {
      await forgetAll(daemon.docker);
      await daemon.docker('pull', image);
      assert.equal(await idOf(daemon.docker, image), id);
    });

    it('is told when the image is deleted', async () => {
      const { address, user } = stage();
      const client = new UserClient(`http://${address}`, user);
      const path = '/v2/team/docker/manifests/v1';
      const { headers } = await client.must(200, { method: 'HEAD', path });
      const digest = String(headers['docker-content-digest']);
      await client.must(202, { method: 'DELETE', path: path.replace('v1', digest) });
      await assert.rejects(daemon.docker('pull', image), /manifest unknown/);
    });
  });

  it('oras pushes and pulls a file', requires('oras'), async () => {
    await withTool('oras', stage(), async (tool, { name, password }) => {
      await tool.run('login', '--plain-http', tool.address, '--username', name, '--password', password);
      const bytes = await tool.write('file.bin', largest);
      await tool.run('push', '--plain-http', `${tool.address}/team/oras:v1`, 'file.bin');
      await tool.run('pull', '--plain-http', '--output', 'pulled', `${tool.address}/team/oras:v1`);
      assert.ok((await tool.read('pulled/file.bin')).equals(bytes));
    });
  });

  it('helm pushes and pulls a chart', requires('helm'), async () => {
    await withTool('helm', stage(), async (tool, { name, password }) => {
      const plain = '--plain-http';
      await tool.run('registry', 'login', plain, tool.address, '--username', name, '--password', password);
      await tool.write('tiny/Chart.yaml', 'apiVersion: v2\nname: tiny\nversion: 1.0.0\n');
      await tool.run('package', 'tiny');
      await tool.run('push', plain, 'tiny-1.0.0.tgz', `oci://${tool.address}/team/charts`);
      const { text } = await tool.run('show', 'chart', plain, `oci://${tool.address}/team/charts/tiny`);
      assert.match(text, /^name: tiny$/m);
    });
  });
}

async function withTool(
  program: GoProgram,
  { address, user }: Stage,
  use: (tool: Tool, user: Stage['user']) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder(`deployed-${program}`);
  try {
    await mkdir(join(folder.path, 'home'));
    await use(toolOf(goProgramPlace(program).file, join(folder.path, 'home'), address), user);
  } finally {
    folder.remove();
  }
}
