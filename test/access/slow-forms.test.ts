import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { send } from '../functions/client.ts';
import { bearer, passwordOf } from './policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from './policy-server.ts';

const policy = `
rules:
  - { who: alice, repositories: '**', allow: '*' }
`;

describe('a registry with a policy and slow strangers', () => {
  let registry: PolicyRegistry;

  before(async () => {
    registry = await startPolicyRegistry(policy, ['alice'], {
      settings: { REGISTRY_HTTP_MAXUPLOADS: '1' },
    });
  });

  after(async () => {
    await registry.stop();
  });

  it('takes the forms of others while one client sends hundreds slowly, and refuses what does not fit', async () => {
    const { hostname, port } = new URL(registry.url);
    const strangers = await Promise.all(
      Array.from({ length: 300 }, async () => await sendSlowForm(hostname, Number(port), '127.0.0.2')),
    );
    const answered = (status: number) =>
      strangers.filter(({ text }) => text().includes(`HTTP/1.1 ${status} `)).length;
    try {
      const form = { grant_type: 'password', username: 'alice', password: passwordOf('alice') };
      const reply = await send(registry.url, {
        method: 'POST',
        path: '/token',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: Buffer.from(new URLSearchParams(form).toString()),
      });
      assert.equal(reply.status, 200, reply.body.toString());
      assert.equal(answered(408), 0, 'it waited until slow forms had failed');
      assert.equal(answered(503), 300 - 64 - 100);
    } finally {
      for (const { socket } of strangers) socket.destroy();
    }
  });

  it('takes uploads while strangers send the forms of logins slowly', async () => {
    const headers = await bearer(registry.url, 'alice', 'repository:team/app:pull,push');
    const { hostname, port } = new URL(registry.url);
    const strangers = await Promise.all(
      Array.from({ length: 3 }, async () => await sendSlowForm(hostname, Number(port))),
    );
    try {
      const digest = `sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a`;
      const upload = { method: 'POST', path: `/v2/team/app/blobs/uploads/?digest=${digest}`, headers };
      assert.equal((await send(registry.url, { ...upload, body: Buffer.from('{}') })).status, 201);
    } finally {
      for (const { socket } of strangers) socket.destroy();
    }
  });
});

interface Stranger {
  readonly socket: Socket;
  /** What it was answered. */
  readonly text: () => string;
}

/** A form of which the first bytes arrive, and no more. @param localAddress of the client */
async function sendSlowForm(host: string, port: number, localAddress = '127.0.0.1'): Promise<Stranger> {
  const socket = connect({ port, host, localAddress });
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  await once(socket, 'connect');
  const head = ['POST /token HTTP/1.1', 'Host: x', 'Content-Type: application/x-www-form-urlencoded'];
  socket.write(`${[...head, 'Content-Length: 100', 'Expect: 100-continue'].join('\r\n')}\r\n\r\n`);
  // Its headers have arrived then.
  await once(socket, 'data');
  return { socket, text: () => text };
}
