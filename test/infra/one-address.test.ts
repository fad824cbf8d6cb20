import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { forgetAll } from '../clients/docker-images.ts';
import { digestOf } from '../clients/images.ts';
import { withDigest } from '../functions/client.ts';
import { caddy } from '../servers/caddy.ts';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { goProgramPlace, type GoProgram } from '../servers/go-programs.ts';
import { authority, type Authority } from '../servers/openssl.ts';
import { freePort } from '../servers/ports.ts';
import { command, type Output, type Server } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve, thisVersion, type Stowage } from '../servers/stowage.ts';

const MiB = 1024 ** 2;

/** Needs a data plane: functions take 4 MiB. */
const layerBytes = 24 * MiB;

describe('Caddy as the one address of both planes', requires('openssl', 'caddy'), () => {
  let folder: Folder;
  let issuer: Authority;
  let proxy: Server;
  let gateway: Stowage;
  let dataPlane: Stowage;
  let host: string;
  let startDataPlane: () => Promise<Stowage>;

  before(async () => {
    folder = await temporaryFolder('one-address');
    issuer = await authority(folder.path);
    const images = join(folder.path, 'images');
    host = `registry.test:${await freePort()}`;
    const common = {
      REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex'),
      REGISTRY_HTTP_HOST: `https://${host}`,
      REGISTRY_HTTP_TRUSTEDPROXIES: '127.0.0.1',
    };
    const address = `127.0.0.1:${await freePort()}`;
    const version = { ...thisVersion(), server: [...thisVersion().server, 'data-plane'] as const };
    const ready = async () => (await fetch(`http://${address}/livez`)).ok;
    startDataPlane = async () =>
      await serve(images, { ...common, REGISTRY_HTTP_ADDR: address }, version, ready);
    dataPlane = await startDataPlane();
    gateway = await functions(images, { ...common, REGISTRY_HTTP_DATAPLANE: `https://${host}` });
    const site = {
      address: `https://${host}`,
      api: `http://${gateway.address}`,
      dataPlane: address,
    };
    proxy = await caddy(site, await issuer.issue('registry', 'DNS:registry.test'));
  });

  after(async () => {
    await proxy.stop();
    await Promise.all([gateway.stop(), dataPlane.stop()]);
    folder.remove();
  });

  /** A request from an address of its own on this machine. */
  function open(method: string, path: string, headers: OutgoingHttpHeaders = {}, at = host) {
    const { pathname, search } = new URL(path, `https://${host}`);
    return request({
      host: '127.0.0.1',
      port: at.replace(/.*:/, ''),
      method,
      path: `${pathname}${search}`,
      headers: { host, ...headers },
      agent: false,
      servername: 'registry.test',
      ca: readFileSync(issuer.certificate),
      localAddress: '127.0.0.9',
    });
  }

  async function send(
    method: string,
    path: string,
    body = Buffer.alloc(0),
    headers: OutgoingHttpHeaders = {},
  ) {
    const outgoing = open(method, path, { 'content-length': body.length, ...headers });
    return await answerTo(outgoing.end(body));
  }

  async function answerTo(outgoing: ReturnType<typeof open>) {
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const pieces: Buffer[] = [];
    for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece);
    const { statusCode: status, headers } = response;
    return { status, headers, location: headers.location ?? '', body: Buffer.concat(pieces) };
  }

  /** What a server has logged of requests with a method to a repository. It does so after it has answered. */
  async function linesOf(server: Stowage, method: string, repository: string) {
    for (;;) {
      const lines = server
        .output()
        .split('\n')
        .filter((line) => line.includes('"msg":"request"') && line.includes(`"method":"${method}"`))
        .map((line) => JSON.parse(line) as { path: string; address: string; id: string })
        .filter(({ path }) => path.startsWith(`/v2/${repository}/`));
      if (lines.length > 0) return lines;
      await delay(20);
    }
  }

  it('sends uploads in progress to the data plane, and no byte of them to the functions', async () => {
    const start = await send('POST', '/v2/team/routes/blobs/uploads/');
    assert.equal(start.status, 202);
    assert.equal(new URL(start.location).host, host);
    const bytes = randomBytes(5 * MiB);
    const put = await send('PUT', withDigest(start.location, digestOf(bytes)), bytes);
    assert.equal(put.status, 201, put.body.toString());
    const lines = await linesOf(dataPlane, 'PUT', 'team/routes');
    assert.deepEqual(
      lines.map(({ path }) => path),
      [new URL(start.location).pathname],
    );
    assert.doesNotMatch(gateway.output(), /"method":"PUT"/);
  });

  it('serves signed URLs of blobs from the data plane, with ranges', async () => {
    const bytes = randomBytes(5 * MiB);
    const digest = digestOf(bytes);
    const start = await send('POST', '/v2/team/ranges/blobs/uploads/');
    await send('PUT', withDigest(start.location, digest), bytes);
    const head = await send('HEAD', `/v2/team/ranges/blobs/${digest}`);
    assert.equal(head.headers['content-length'], String(bytes.length));
    const redirect = await send('GET', `/v2/team/ranges/blobs/${digest}`);
    assert.equal(redirect.status, 307);
    const part = await send('GET', redirect.location, undefined, { range: 'bytes=1000-1999' });
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(bytes.subarray(1000, 2000)));
  });

  it('gives an answer to HEAD its length back, where the gateway has dropped it', async () => {
    const dropping = createServer((_, response) => {
      response.writeHead(404, { 'content-length': 0, 'stowage-content-length': 12_345, etag: '"a"' }).end();
    });
    dropping.listen(0, '127.0.0.1');
    await once(dropping, 'listening');
    const { port } = dropping.address() as AddressInfo;
    const address = `registry.test:${await freePort()}`;
    const site = { address: `https://${address}`, api: `http://127.0.0.1:${port}`, dataPlane: '127.0.0.1:9' };
    const other = await caddy(site, await issuer.issue('other', 'DNS:registry.test'));
    const outgoing = open('HEAD', '/v2/team/app/manifests/1', { host: address }, address);
    const { status, headers } = await answerTo(outgoing.end());
    await other.stop();
    dropping.closeAllConnections();
    dropping.close();
    assert.equal(status, 404);
    assert.equal(headers['content-length'], '12345');
    assert.equal(headers.etag, '"a"');
    assert.equal(headers['stowage-content-length'], undefined);
  });

  it('tells both planes the address of the client, whatever the client says', async () => {
    const lies = { 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.2' };
    const start = await send('POST', '/v2/team/addresses/blobs/uploads/', undefined, lies);
    await send('GET', start.location, undefined, lies);
    const [begun] = await linesOf(gateway, 'POST', 'team/addresses');
    const [asked] = await linesOf(dataPlane, 'GET', 'team/addresses');
    assert.deepEqual([begun?.address, asked?.address], ['127.0.0.9', '127.0.0.9']);
  });

  it('lets no client choose the id of its request', async () => {
    const start = await send('POST', '/v2/team/ids/blobs/uploads/');
    const { headers } = await send('GET', start.location, undefined, { 'x-request-id': 'chosen-by-me' });
    const [asked] = await linesOf(dataPlane, 'GET', 'team/ids');
    assert.equal(asked?.id, headers['x-request-id']);
    assert.notEqual(asked?.id, 'chosen-by-me');
  });

  it('passes a body on while the client still sends it', async () => {
    const start = await send('POST', '/v2/team/streams/blobs/uploads/');
    const before = await bytesIn(folder.path);
    const patch = open('PATCH', start.location);
    const bytes = randomBytes(12 * MiB);
    patch.write(bytes);
    while ((await bytesIn(folder.path)) < before + 8 * MiB) await delay(20);
    const answer = await answerTo(patch.end(bytes));
    assert.equal(answer.status, 202, answer.body.toString());
    assert.equal(answer.headers.range, `0-${2 * bytes.length - 1}`);
  });

  it('waits for a data plane that restarts', async () => {
    const start = await send('POST', '/v2/team/restarts/blobs/uploads/');
    await dataPlane.stop();
    const asked = send('GET', start.location);
    await delay(300);
    dataPlane = await startDataPlane();
    assert.equal((await asked).status, 204);
  });

  it('docker pushes a large layer, and pulls it', requires('dockerd'), async (test) => {
    const port = host.replace(/.*:/, '');
    const files = { 'ca.crt': readFileSync(issuer.certificate, 'utf8') };
    const daemon = await dockerd(undefined, { host: `registry.test:${port}`, address: '127.0.0.1', files });
    test.after(async () => {
      await daemon.stop();
    });
    await writeFile(join(folder.path, 'layer'), randomBytes(layerBytes));
    const tar = join(folder.path, 'layer.tar');
    await command('tar', ['-C', folder.path, '-cf', tar, 'layer']);
    const image = `${host}/team/docker:1`;
    await daemon.docker('import', tar, image);
    await daemon.docker('push', image);
    await forgetAll(daemon.docker);
    await daemon.docker('pull', image);
    await daemon.docker('image', 'inspect', image);
  });

  /** Runs a client that finds the registry's name, in a folder of its own. */
  async function client(program: GoProgram, ...args: string[]): Promise<Output> {
    const hosts = join(folder.path, 'hosts');
    await writeFile(hosts, '127.0.0.1 localhost registry.test\n');
    const script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"';
    const file = goProgramPlace(program).file;
    return await command('unshare', ['--mount', 'sh', '-ec', script, 'sh', hosts, file, ...args], {
      cwd: folder.path,
      env: { PATH: process.env['PATH'], HOME: folder.path, SSL_CERT_FILE: issuer.certificate },
    });
  }

  it('oras pushes a file, and pulls it', requires('oras', 'dockerd'), async () => {
    const bytes = randomBytes(layerBytes);
    await writeFile(join(folder.path, 'file.bin'), bytes);
    await client('oras', 'push', `${host}/team/oras:1`, 'file.bin');
    await client('oras', 'pull', '--output', 'pulled', `${host}/team/oras:1`);
    assert.ok(readFileSync(join(folder.path, 'pulled/file.bin')).equals(bytes));
  });

  it('helm pushes a chart, and pulls it', requires('helm', 'dockerd'), async () => {
    const chart = 'apiVersion: v2\nname: tiny\nversion: 1.0.0\n';
    await command('mkdir', ['-p', join(folder.path, 'tiny')]);
    await writeFile(join(folder.path, 'tiny/Chart.yaml'), chart);
    await client('helm', 'package', 'tiny');
    await client('helm', 'push', 'tiny-1.0.0.tgz', `oci://${host}/team/charts`);
    const { text } = await client('helm', 'show', 'chart', `oci://${host}/team/charts/tiny`);
    assert.match(text, /^name: tiny$/m);
  });
});

async function bytesIn(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(
      async ({ parentPath, name }) =>
        await stat(join(parentPath, name)).then(
          ({ size }) => size,
          () => 0,
        ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
