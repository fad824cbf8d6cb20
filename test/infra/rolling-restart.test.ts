import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  descriptor,
  digestOf,
  imageType,
  manifest,
  send,
  someName,
  withDigest,
  type Ask,
} from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { haproxy } from '../servers/haproxy.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

const folder = await temporaryFolder('rolling-restart');

after(() => {
  folder.remove();
});

/** Until the proxy has probed twice. */
const noticeMs = 1_500;

/** A client that pushes and pulls images through a proxy, one after another, on connections that it keeps. */
class Load {
  readonly failures: string[] = [];
  requests = 0;
  readonly #base: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #isOver = false;

  constructor(address: string) {
    this.#base = `http://${address}`;
  }

  /** Pushes and pulls until {@link end}. */
  async run(): Promise<void> {
    while (!this.#isOver)
      await this.#pushAndPull().catch((error: unknown) => this.failures.push(String(error)));
    this.#agent.destroy();
  }

  end(): void {
    this.#isOver = true;
  }

  async #pushAndPull(): Promise<void> {
    const [name, layer] = [someName(), randomBytes(300_000)];
    const path = `/v2/${name}`;
    await this.#push(path, layer);
    const bytes = manifest({ config: descriptor(layer), layers: [descriptor(layer)] });
    const headers = { 'content-type': imageType };
    await this.#must(201, { method: 'PUT', path: `${path}/manifests/v1`, headers, body: bytes });
    const { body } = await this.#must(200, { method: 'GET', path: `${path}/manifests/v1` });
    assert.ok(body.equals(bytes), 'the manifest is another');
    const blob = await this.#must(200, { method: 'GET', path: `${path}/blobs/${digestOf(layer)}` });
    assert.ok(blob.body.equals(layer), 'the layer is another');
  }

  /** In two requests with bodies, each of which another server may get. */
  async #push(path: string, layer: Buffer): Promise<void> {
    const start = await this.#must(202, { method: 'POST', path: `${path}/blobs/uploads/` });
    const first = { method: 'PATCH', path: String(start.headers.location), body: layer.subarray(0, 200_000) };
    const next = await this.#must(202, { ...first, chunked: true });
    const location = withDigest(String(next.headers.location), digestOf(layer));
    await this.#must(201, { method: 'PUT', path: location, body: layer.subarray(200_000) });
  }

  async #must(status: number, ask: Ask) {
    this.requests++;
    const reply = await send(this.#base, ask, this.#agent);
    if (reply.status !== status)
      throw new Error(`${ask.method} ${ask.path}: ${reply.status}, not ${status}: ${reply.body.toString()}`);
    return reply;
  }
}

describe('three servers with two workers each behind HAProxy', requires('haproxy'), () => {
  it('fail no push and no pull while one after another is restarted', { timeout: 90_000 }, async () => {
    const addresses = await Promise.all([1, 2, 3].map(async () => `127.0.0.1:${await freePort()}`));
    const begin = async (address: string): Promise<Stowage> =>
      await serve(folder.path, {
        REGISTRY_HTTP_ADDR: address,
        REGISTRY_HTTP_SECRET: 'the secret of three servers that restart',
        REGISTRY_HTTP_TRUSTEDPROXIES: '127.0.0.1',
        REGISTRY_HTTP_WORKERS: '2',
      });
    const servers = new Map(
      await Promise.all(addresses.map(async (one) => [one, await begin(one)] as const)),
    );
    const restart = async (address: string) => {
      await servers.get(address)?.stop('SIGTERM');
      servers.set(address, await begin(address));
      await delay(noticeMs);
    };
    const proxy = await haproxy(addresses);
    const clients = Array.from({ length: 6 }, () => new Load(proxy.address));
    const running = Promise.all(
      clients.map(async (client) => {
        await client.run();
      }),
    );
    const [first = '', second = '', third = ''] = addresses;
    try {
      await delay(500);
      // The third serves while the first two are away, at times alone.
      await Promise.all([restart(first), delay(noticeMs).then(async () => await restart(second))]);
      await restart(third);
    } finally {
      for (const client of clients) client.end();
      await running;
      await proxy.stop();
      await Promise.all(
        [...servers.values()].map(async (server) => {
          await server.stop();
        }),
      );
    }
    assert.deepEqual(
      clients.flatMap(({ failures }) => failures),
      [],
    );
    assert.ok(
      clients.every(({ requests }) => requests > 50),
      clients.map(({ requests }) => requests).join(),
    );
    for (const server of servers.values()) assert.match(server.output(), /"method":"PATCH".*"status":202/);
  });
});
