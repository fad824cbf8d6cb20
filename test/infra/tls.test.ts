import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { loadConfig } from '../../lib/config/config.ts';
import { usualLimits, type Limits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { authority, type Authority, type Pair } from '../servers/openssl.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { dial, head, rest } from './raw-http.ts';

describe('a server with TLS', requires('openssl'), () => {
  let folder: Folder;
  let issuer: Authority;
  let pair: Pair;
  const servers: StreamingServer[] = [];

  before(async () => {
    folder = await temporaryFolder('tls');
    issuer = await authority(folder.path);
    pair = await issuer.issue('server');
  });

  after(async () => {
    for (const server of servers) await server.stop();
    folder.remove();
  });

  const settingsOf = ({ certificate, key }: Pair): Record<string, string> => ({
    REGISTRY_HTTP_TLS_CERTIFICATE: certificate,
    REGISTRY_HTTP_TLS_KEY: key,
  });

  /** @returns the URL */
  async function start(settings: NodeJS.ProcessEnv = {}, limits: Partial<Limits> = {}): Promise<string> {
    const config = loadConfig('server', {
      ...settingsOf(pair),
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder.path, 'images'),
      REGISTRY_LOG_LEVEL: 'error',
      ...settings,
    });
    const server = await startServer('server', config, { ...usualLimits, lingerMs: 100, ...limits });
    servers.push(server);
    return server.url;
  }

  const trusting = () => ({ ca: readFileSync(issuer.certificate) });

  async function get(url: string, options: RequestOptions = {}): Promise<IncomingMessage> {
    const asked = request(`${url}/v2/`, { agent: false, ...trusting(), ...options }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    response.resume();
    return response;
  }

  async function dialTls(url: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), ...trusting(), ...options });
    await once(socket, 'secureConnect');
    return socket.on('error', () => undefined);
  }

  it('answers over TLS, and names https in a challenge', async () => {
    const url = await start();
    assert.match(url, /^https:/);
    assert.equal((await get(url)).statusCode, 200);
    const policy = join(folder.path, 'policy.yaml');
    writeFileSync(policy, 'rules: []\n');
    const closed = await start({
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_PATH: policy,
      REGISTRY_HTTP_SECRET: 's'.repeat(32),
    });
    const { headers } = await get(closed);
    assert.match(headers['www-authenticate'] ?? '', /realm="https:\/\/127\.0\.0\.1:\d+\/token"/);
  });

  it('answers 400 to a client that speaks HTTP without TLS, and says what to do', async () => {
    const url = await start();
    const socket = await dial(url);
    const answer = rest(socket);
    socket.write(head('PUT', '/v2/a/manifests/b', 'Content-Length: 1000000'));
    socket.write(Buffer.alloc(1_000_000));
    assert.match(
      await answer,
      /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/json\r\n[^]*\{"errors":\[\{"code":"UNSUPPORTED","message":"this port speaks TLS; use https:/,
    );
  });

  it('speaks no version of TLS below the minimum', async () => {
    const usual = await start();
    await assert.rejects(
      get(usual, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
    );
    assert.equal((await dialTls(usual, { maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2');
    const newest = await start({ REGISTRY_HTTP_TLS_MINIMUMTLS: 'tls1.3' });
    await assert.rejects(get(newest, { maxVersion: 'TLSv1.2' }));
    assert.equal((await get(newest)).statusCode, 200);
  });

  it('takes no other cipher suites of TLS 1.2 than those that are set', async () => {
    const url = await start({ REGISTRY_HTTP_TLS_CIPHERSUITES: '[TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]' });
    const ofSuite = (ciphers: string) => ({ maxVersion: 'TLSv1.2', ciphers }) as const;
    const socket = await dialTls(url, ofSuite('ECDHE-ECDSA-AES256-GCM-SHA384'));
    assert.equal(socket.getCipher().name, 'ECDHE-ECDSA-AES256-GCM-SHA384');
    await assert.rejects(dialTls(url, ofSuite('ECDHE-ECDSA-AES128-GCM-SHA256')));
    assert.equal((await dialTls(url)).getProtocol(), 'TLSv1.3');
  });

  it('admits only clients with a certificate of the authority', async () => {
    const url = await start({ REGISTRY_HTTP_TLS_CLIENTCAS: issuer.certificate });
    const client = await issuer.issue('client');
    const stranger = await (await authority(folder.path, 'strangers')).issue('stranger');
    const ofClient = ({ certificate, key }: Pair) => ({
      cert: readFileSync(certificate),
      key: readFileSync(key),
    });
    assert.equal((await get(url, ofClient(client))).statusCode, 200);
    await assert.rejects(get(url));
    await assert.rejects(get(url, ofClient(stranger)));
    const optional = await start({
      REGISTRY_HTTP_TLS_CLIENTCAS: issuer.certificate,
      REGISTRY_HTTP_TLS_CLIENTAUTH: 'verify-client-cert-if-given',
    });
    assert.equal((await get(optional)).statusCode, 200);
    assert.equal((await get(optional, ofClient(client))).statusCode, 200);
    await assert.rejects(get(optional, ofClient(stranger)));
  });

  it('keeps its client authorities while their file is half written, and logs clients without one once', async () => {
    const [first, second] = [await authority(folder.path, 'first'), await authority(folder.path, 'second')];
    const bundle = join(folder.path, 'clientca.crt');
    const pem = (one: Authority) => readFileSync(one.certificate, 'utf8');
    writeFileSync(bundle, pem(first) + pem(second));
    const { certificate, key } = await first.issue('kept');
    const own = { cert: readFileSync(certificate), key: readFileSync(key) };
    const address = `127.0.0.1:${await freePort()}`;
    const url = `https://${address}`;
    const registry = await serve(
      join(folder.path, 'clients'),
      { ...settingsOf(pair), REGISTRY_HTTP_ADDR: address, REGISTRY_HTTP_TLS_CLIENTCAS: bundle },
      undefined,
      async () => (await get(url, own)).statusCode === 200,
    );
    const untilLogged = async (text: string) => {
      for (let i = 0; i < 100 && !registry.output().includes(text); i++) await delay(100);
      return registry.output();
    };
    try {
      writeFileSync(bundle, pem(second) + pem(first).slice(0, 200));
      const output = await untilLogged('cannot be used, and the old ones stay');
      assert.match(output, /"changed":\["[^"]*clientca\.crt"\].*old ones stay: .*CLIENTCAS: .*is incomplete/);
      assert.equal((await get(url, own)).statusCode, 200);
      writeFileSync(bundle, pem(second));
      assert.match(
        await untilLogged('the TLS files were renewed'),
        /"changed":\["[^"]*clientca\.crt"\].*were renewed/,
      );
      for (let i = 0; i < 3; i++) await assert.rejects(get(url, own));
      await assert.rejects(get(url));
      const lines = (await untilLogged('a client was refused')).match(/.*a client was refused for its .*/g);
      assert.ok(lines?.length === 1, registry.output());
      assert.match(lines.join(), /"level":"warn".*"client":"127\.0\.0\.1","reason":"\w+"/);
    } finally {
      await registry.stop();
    }
  });

  it('closes a connection whose handshake takes too long, also one that sends byte by byte', async () => {
    const url = await start({}, { handshakeTimeoutMs: 300 });
    const silent = await dial(url);
    const slow = await dial(url);
    const closed = [rest(silent), rest(slow)];
    // The start of a handshake record of 512 bytes.
    slow.write(Buffer.from([22, 3, 1, 2, 0]));
    while (!slow.closed && slow.writable) {
      slow.write(Buffer.from([1]));
      await delay(20);
    }
    assert.deepEqual(await Promise.all(closed), ['', '']);
  });

  /** Connections that begin no handshake. @returns the oldest, and a function that closes all */
  async function dialSilently(url: string, count: number) {
    const { hostname, port } = new URL(url);
    const silent = Array.from({ length: count }, () =>
      connectPlain(Number(port), hostname).on('error', () => undefined),
    );
    await Promise.all(
      silent.map(async (socket) => {
        await once(socket, 'connect');
      }),
    );
    const close = () => {
      for (const socket of silent) socket.destroy();
    };
    return { oldest: silent[0]?.resume(), close };
  }

  /** So that only the limit of handshakes closes a connection. */
  const patient = { handshakeTimeoutMs: 600_000 };

  it(
    'a client gets through while thousands do not finish their handshakes',
    { timeout: 30_000 },
    async () => {
      const url = await start({}, patient);
      const { oldest, close } = await dialSilently(url, 1100);
      // The oldest made room for those beyond 1024.
      while (oldest?.closed === false) await delay(10);
      assert.equal((await get(url)).statusCode, 200);
      close();
    },
  );

  it('each of two workers has half of the handshakes that a server allows', { timeout: 30_000 }, async () => {
    const url = await start({ REGISTRY_HTTP_WORKERS: '2' }, patient);
    const within = await dialSilently(url, 500);
    await delay(200);
    assert.ok(within.oldest?.closed === false);
    const beyond = await dialSilently(url, 20);
    await once(within.oldest, 'close');
    within.close();
    beyond.close();
  });

  it('speaks HTTP/2 with clients that choose it where it is on, and HTTP/1.1 with all others', async () => {
    const chosen = async (url: string, ...protocols: string[]) => {
      const socket = await dialTls(url, { ALPNProtocols: protocols });
      socket.destroy();
      return socket.alpnProtocol;
    };
    const usual = await start();
    assert.equal(await chosen(usual, 'h2', 'http/1.1'), 'http/1.1');
    const both = await start({ REGISTRY_HTTP_HTTP2_DISABLED: 'false' });
    assert.equal(await chosen(both, 'h2', 'http/1.1'), 'h2');
    assert.equal(await chosen(both, 'http/1.1'), 'http/1.1');
    assert.equal((await get(both)).statusCode, 200);
    const session = connectHttp2(both, trusting());
    const stream = session.request({ ':path': '/v2/' });
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    assert.equal(headers[':status'], 200);
    session.destroy();
  });

  describe('over TLS as without', () => {
    it('answers 408 to headers that never end', async () => {
      const socket = await dialTls(await start({}, { headersTimeoutMs: 300 }));
      const answer = rest(socket);
      socket.write('GET /v2/ HTTP/1.1\r\nHost: registry\r\nX-Slow: ');
      assert.match(await answer, /^HTTP\/1\.1 408 /);
    });

    it('closes an idle connection', async () => {
      const socket = await dialTls(await start({}, { idleTimeoutMs: 200 }));
      assert.equal(await rest(socket), '');
    });

    it('answers requests that come at once in their order', async () => {
      const socket = await dialTls(await start());
      const answers = rest(socket);
      socket.write(head('GET', '/v2/').repeat(100) + head('GET', '/v2/none', 'Connection: close'));
      const statuses = [...(await answers).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status);
      assert.deepEqual(statuses, [...Array.from({ length: 100 }, () => '200'), '404']);
    });

    it('closes the connection of a client that reads too slowly', async () => {
      const url = await start({}, { responseRate: { bytes: 1_000_000, withinMs: 400 } });
      const blob = Buffer.alloc(24 * 1024 * 1024, 'a');
      const digest = await pushBlob(url, blob);
      const socket = await dialTls(url);
      socket.write(head('GET', `/v2/tls/app/blobs/${digest}`));
      await once(socket, 'readable');
      await delay(1500);
      let taken = 0;
      try {
        for await (const piece of socket as AsyncIterable<Buffer>) taken += piece.byteLength;
      } catch {
        // Cut.
      }
      assert.ok(taken < blob.length, 'the whole answer came');
    });
  });

  async function pushBlob(url: string, bytes: Buffer): Promise<string> {
    const { createHash } = await import('node:crypto');
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const send = async (method: string, target: string, body?: Buffer) => {
      const asked = request(new URL(target, url), { method, agent: false, ...trusting() }).end(body);
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      response.resume();
      return response;
    };
    const begun = await send('POST', '/v2/tls/app/blobs/uploads/');
    const put = await send('PUT', `${begun.headers.location ?? ''}&digest=${digest}`, bytes);
    assert.equal(put.statusCode, 201);
    return digest;
  }

  describe('when certificates are renewed', () => {
    let registry: Stowage;
    let url: string;
    let files: Pair;
    const logged = (text: RegExp) => [...registry.output().matchAll(new RegExp(text, 'g'))].length;

    /** The subject of the certificate that a new connection is shown. */
    const shown = async () => {
      const socket = await dialTls(url);
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    const untilShown = async (name: string) => {
      for (let i = 0; i < 100 && (await shown()) !== name; i++) await delay(100);
      assert.equal(await shown(), name);
    };

    before(async () => {
      // As Kubernetes mounts a secret: links to files below a link that changes.
      const [mount, first] = [join(folder.path, 'mount'), join(folder.path, 'mount', '..1')];
      await mkdir(first, { recursive: true });
      cpSync(pair.certificate, join(first, 'tls.crt'));
      cpSync(pair.key, join(first, 'tls.key'));
      symlinkSync('..1', join(mount, '..data'));
      for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(mount, name));
      files = { certificate: join(mount, 'tls.crt'), key: join(mount, 'tls.key') };
      const address = `127.0.0.1:${await freePort()}`;
      url = `https://${address}`;
      registry = await serve(
        join(folder.path, 'renewed'),
        { REGISTRY_HTTP_ADDR: address, ...settingsOf(files) },
        undefined,
        async () => (await get(url)).statusCode === 200,
      );
    });

    after(async () => {
      await registry.stop();
    });

    it('takes those behind the links of Kubernetes, and keeps connections in progress', async () => {
      const socket = await dialTls(url);
      const mount = join(folder.path, 'mount');
      const next = await issuer.issue('linked');
      await mkdir(join(mount, '..2'));
      cpSync(next.certificate, join(mount, '..2', 'tls.crt'));
      cpSync(next.key, join(mount, '..2', 'tls.key'));
      symlinkSync('..2', join(mount, '..data_tmp'));
      renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
      await untilShown('linked');
      const answer = rest(socket);
      socket.write(head('GET', '/v2/', 'Connection: close'));
      assert.match(await answer, /^HTTP\/1\.1 200 /);
      assert.equal(logged(/the TLS files were renewed/), 1);
    });

    it('takes those that replace the old ones by a rename, or in place', async () => {
      for (const [how, replace] of [
        [
          'renamed',
          (from: string, to: string) => {
            renameSync(from, to);
          },
        ],
        [
          'in-place',
          (from: string, to: string) => {
            writeFileSync(to, readFileSync(from));
          },
        ],
      ] as const) {
        const next = await issuer.issue(how);
        replace(next.certificate, files.certificate);
        replace(next.key, files.key);
        await untilShown(how);
      }
    });

    it('keeps the old ones while the new ones cannot be used, and says so once', async () => {
      const before = await shown();
      writeFileSync(files.key, 'no key');
      for (let i = 0; i < 100 && logged(/cannot be used, and the old ones stay/) === 0; i++) await delay(100);
      assert.match(
        registry.output(),
        /the renewed TLS files cannot be used, and the old ones stay: REGISTRY_HTTP_TLS_KEY: .* has no private key in PEM/,
      );
      assert.equal(await shown(), before);
      const next = await issuer.issue('mended');
      cpSync(next.certificate, files.certificate);
      cpSync(next.key, files.key);
      await untilShown('mended');
      assert.equal(logged(/cannot be used, and the old ones stay/), 1);
    });

    it('exits with 0 on SIGTERM after the upload in progress', async () => {
      const socket = await dialTls(url);
      const answer = rest(socket);
      const asked = request(`${url}/v2/tls/app/blobs/uploads/`, {
        method: 'POST',
        agent: false,
        ...trusting(),
      }).end();
      const [begun] = (await once(asked, 'response')) as [IncomingMessage];
      begun.resume();
      socket.write(head('PATCH', begun.headers.location ?? '', 'Content-Length: 4') + '12');
      const silent = await dial(url);
      await delay(200);
      const stopped = registry.stop();
      await rest(silent);
      socket.write('34');
      assert.match(await answer, /^HTTP\/1\.1 202 /);
      await stopped;
    });
  });
});
