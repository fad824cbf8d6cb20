import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { authority, type Authority, type Pair } from '../servers/openssl.ts';
import { freePort } from '../servers/ports.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { skopeo } from '../servers/skopeo.ts';
import { tlsRelay, type Relay } from '../servers/tls-relay.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { forgetAll } from './docker-images.ts';

/** Pushed for more seconds than the server takes to find a new certificate. */
const layerBytes = 150 * 1024 ** 2;

describe('a server with TLS and client certificates', requires('openssl', 'dockerd'), () => {
  let folder: Folder;
  let issuer: Authority;
  let files: Pair;
  let user: Pair;
  let registry: Stowage;
  let daemon: Dockerd;
  let host: string;
  let relay: Relay;

  before(async () => {
    folder = await temporaryFolder('clients-tls');
    issuer = await authority(folder.path);
    const names = 'DNS:registry.test,DNS:localhost';
    files = await issuer.issue('server', names);
    user = await issuer.issue('user');
    const port = await freePort();
    registry = await start(`[::1]:${port}`, 'registry.test');
    relay = await tlsRelay({ host: '::1', port });
    host = `registry.test:${relay.port}`;
    const text = (path: string) => readFileSync(path, 'utf8');
    daemon = await dockerd(undefined, {
      host,
      address: '::1',
      files: {
        'ca.crt': text(issuer.certificate),
        'client.cert': text(user.certificate),
        'client.key': text(user.key),
      },
    });
  });

  after(async () => {
    await daemon.stop();
    await relay.stop();
    await registry.stop();
    folder.remove();
  });

  const credentials = () => ({
    ca: readFileSync(issuer.certificate),
    cert: readFileSync(user.certificate),
    key: readFileSync(user.key),
  });

  /** @param servername in its certificate */
  async function start(address: string, servername: string): Promise<Stowage> {
    const answers = async () => {
      const options = { ...credentials(), agent: false, servername };
      const asked = request(`https://${address}/v2/`, options).end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      response.resume();
      return response.statusCode === 200;
    };
    const settings = {
      REGISTRY_HTTP_ADDR: address,
      REGISTRY_AUTH: 'none',
      REGISTRY_HTTP_TLS_CERTIFICATE: files.certificate,
      REGISTRY_HTTP_TLS_KEY: files.key,
      REGISTRY_HTTP_TLS_CLIENTCAS: issuer.certificate,
      REGISTRY_HTTP_HTTP2_DISABLED: 'false',
    };
    return await serve(join(folder.path, 'registry'), settings, undefined, answers);
  }

  it('docker pushes on while the certificate is renewed, and pulls with the new one', async () => {
    await writeFile(join(folder.path, 'layer'), randomBytes(layerBytes));
    const tar = join(folder.path, 'layer.tar');
    await command('tar', ['-C', folder.path, '-cf', tar, 'layer']);
    const image = `${host}/team/app:1`;
    await daemon.docker('import', tar, image);
    const pushed = daemon.docker('push', image);
    const hasBegun = () => registry.output().includes('"method":"POST"');
    while (!hasBegun()) await delay(20);
    const next = await issuer.issue('renewed', 'DNS:registry.test,DNS:localhost');
    renameSync(next.certificate, files.certificate);
    renameSync(next.key, files.key);
    await pushed;
    const output = registry.output();
    const [renewed, patched] = [
      output.indexOf('the TLS files were renewed'),
      output.lastIndexOf('"method":"PATCH"'),
    ];
    assert.ok(renewed >= 0 && patched > renewed, output);
    await forgetAll(daemon.docker);
    await daemon.docker('pull', image);
    await daemon.docker('image', 'inspect', image);
  });

  it('docker asks for no HTTP/2, which the server would speak', async () => {
    assert.ok(relay.offers.length > 0);
    const ofDocker = relay.offers.splice(0);
    const options = { ...credentials(), servername: 'registry.test', ALPNProtocols: ['h2', 'http/1.1'] };
    const socket = connect({ host: '::1', port: relay.port, ...options });
    await once(socket, 'secureConnect');
    assert.equal(socket.alpnProtocol, 'h2');
    socket.destroy();
    assert.deepEqual(relay.offers, [['h2', 'http/1.1']]);
    assert.deepEqual(
      ofDocker.filter((protocols) => protocols.includes('h2')),
      [],
    );
  });

  it('skopeo needs its certificate as well', requires('skopeo'), async () => {
    const tool = await skopeo();
    const [known, empty] = [join(tool.folder, 'known'), join(tool.folder, 'empty')];
    for (const path of [known, empty]) {
      await mkdir(path);
      await copyFile(issuer.certificate, join(path, 'ca.crt'));
    }
    await copyFile(user.certificate, join(known, 'client.cert'));
    await copyFile(user.key, join(known, 'client.key'));
    await command('chmod', ['-R', 'a+rX', known, empty]);
    const address = `localhost:${await freePort()}`;
    const server = await start(address.replace('localhost', '127.0.0.1'), 'localhost');
    const image = `docker://${address}/team/app:1`;
    const inspect = async (path: string) =>
      await tool.inspect(image, '--tls-verify=true', '--cert-dir', path, '--raw');
    assert.match((await inspect(known)).text, /"layers"/);
    await assert.rejects(inspect(empty), /certificate required|bad certificate/);
    await server.stop();
    tool.remove();
  });
});
