import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { it } from 'node:test';
import { send } from '../../lib/outbound/send.ts';

/** Sends a request to a server that does something with each connection. */
async function sendTo(answer: (socket: Socket) => void): Promise<unknown> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      answer(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  try {
    return await send(url, { method: 'GET', timeoutMs: 10_000, privateAddresses: 'permitted' });
  } finally {
    server.close();
  }
}

it('a request that is answered with 101 fails', async () => {
  const answer = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
  await assert.rejects(
    sendTo((socket) => socket.write(answer)),
    /answered 101 Switching Protocols/,
  );
});

it('a request whose connection is closed without an answer fails', async () => {
  await assert.rejects(sendTo((socket) => socket.end()));
});
