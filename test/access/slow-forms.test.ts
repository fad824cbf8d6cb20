import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { send } from '../functions/client.ts';
import { bearer } from './policy-registry.ts';
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
      for (const stranger of strangers) stranger.destroy();
    }
  });
});

/** A form of which the first bytes arrive, and no more. */
async function sendSlowForm(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host);
  await once(socket, 'connect');
  const head = ['POST /token HTTP/1.1', 'Host: x', 'Content-Type: application/x-www-form-urlencoded'];
  socket.write(`${[...head, 'Content-Length: 100', 'Expect: 100-continue'].join('\r\n')}\r\n\r\n`);
  // Its headers have arrived then.
  await once(socket, 'data');
  return socket;
}
