import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { startDebugServer } from '../../lib/server/debug-server.ts';

describe('the debug server', () => {
  it('answers a scrape while clients hold 150 idle connections', async () => {
    const server = await startDebugServer(
      { address: { host: '127.0.0.1', port: 0 }, metricsPath: '/metrics' },
      { metrics: async () => await Promise.resolve('a 1\n'), unready: async () => await Promise.resolve([]) },
    );
    const { hostname, port } = new URL(server.url);
    const sockets: Socket[] = [];
    const open = async (text: string) => {
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect');
      socket.write(text);
    };
    try {
      for (const text of ['', 'GET /metrics HTTP/1.1\r\n', 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'])
        for (let i = 0; i < 50; i++) await open(text);
      const response = await fetch(`${server.url}/metrics`, { headers: { connection: 'close' } });
      assert.equal(await response.text(), 'a 1\n');
    } finally {
      for (const socket of sockets) socket.destroy();
      await server.stop();
    }
  });

  it('on an address that is not loopback is one warning, that metrics are read without a login', () => {
    const warnings = (address: string, more = {}) =>
      loadConfig('server', {
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/images',
        REGISTRY_HTTP_DEBUG_ADDR: address,
        ...more,
      }).warnings;
    for (const address of ['0.0.0.0:5001', ':5001', '10.1.2.3:5001']) {
      const [warning = '', ...others] = warnings(address);
      assert.match(
        warning,
        /^REGISTRY_HTTP_DEBUG_ADDR: whoever reaches .* 5001 reads metrics without a login/,
      );
      assert.deepEqual(others, []);
    }
    for (const address of ['127.0.0.1:5001', '[::1]:5001', 'localhost:5001'])
      assert.deepEqual(warnings(address), []);
  });
});
