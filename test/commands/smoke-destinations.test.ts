import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Destinations } from '../../lib/commands/smoke/destinations.ts';
import { SmokeFailure } from '../../lib/commands/smoke/failure.ts';
import { cancelUpload } from '../../lib/commands/smoke/push.ts';
import { readChallenge, Session } from '../../lib/commands/smoke/session.ts';

const credentials = { user: 'bob', password: 'secret' };

describe('a registry that stowage smoke checks', () => {
  // What only this machine reaches.
  let connections = 0;
  const service = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  let port = 0;

  before(async () => {
    service.listen(0, 'localhost');
    await once(service, 'listening');
    ({ port } = service.address() as AddressInfo);
  });

  after(() => {
    service.close();
  });

  const sessionAt = (base: string) => new Session(new URL(base), credentials);
  const cameOf = async (promise: Promise<unknown>): Promise<string> => {
    const error: unknown = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof SmokeFailure, String(error));
    return error.finding.came;
  };

  for (const [scheme, host, came] of [
    ['http', '127.0.0.1', 'which is not on https; nothing was sent there'],
    ['https', '127.0.0.1', 'whose address 127.0.0.1 is not public; nothing was sent there'],
    ['https', 'localhost', 'is not public; nothing was sent there'],
    ['https', '2130706433', 'whose address 127.0.0.1 is not public'],
  ] as const)
    it(`has no password and no upload sent to ${scheme}://${host}`, async () => {
      const session = sessionAt('https://203.0.113.7');
      const url = new URL(`${scheme}://${host}:${port}/v2/`);
      session.challenge = { scheme: 'bearer', realm: url };
      assert.ok((await cameOf(session.authorization(''))).includes(came));
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE'])
        assert.ok((await cameOf(session.send({ method, url }))).includes(came));
      const context = { session, repository: 'a', run: 'b', pointers: new Map(), pushed: new Map() };
      await cancelUpload(context, url);
      assert.equal(connections, 0);
    });

  it('reaches this machine where it is itself on it', async () => {
    const session = sessionAt(`http://127.0.0.1:${port + 1}`);
    const url = new URL(`http://localhost:${port}/`);
    assert.match(await cameOf(session.send({ method: 'GET', url })), /^no response: /);
    assert.equal(connections, 1);
  });

  it('is told that nothing listens at its port', async () => {
    const url = new URL('http://127.0.0.1:1');
    await assert.rejects(sessionAt(url.href).send({ method: 'GET', url }), {
      finding: {
        asked: 'GET http://127.0.0.1:1/',
        came: 'no response: connect ECONNREFUSED 127.0.0.1:1',
        change: 'Nothing listens at this port: check the port, and that the registry runs',
      },
    });
  });

  const [yes, no] = [true, false];
  for (const [base, target, isAllowed] of [
    ['https://203.0.113.7', 'https://198.51.100.1', yes],
    ['https://203.0.113.7', 'https://[2001:db8::1]', yes],
    ['https://203.0.113.7', 'https://203.0.113.7:8443', yes],
    ['https://203.0.113.7', 'http://198.51.100.1', no],
    ['https://203.0.113.7', 'https://0.0.0.0', no],
    ['https://203.0.113.7', 'https://10.1.2.3', no],
    ['https://203.0.113.7', 'https://172.31.255.255', no],
    ['https://203.0.113.7', 'https://192.168.0.1', no],
    ['https://203.0.113.7', 'https://100.64.0.1', no],
    ['https://203.0.113.7', 'https://169.254.169.254', no],
    ['https://203.0.113.7', 'https://[::1]', no],
    ['https://203.0.113.7', 'https://[fe80::1]', no],
    ['https://203.0.113.7', 'https://[fd00::1]', no],
    ['https://203.0.113.7', 'https://[::ffff:10.1.2.3]', no],
    ['https://203.0.113.7', 'https://[64:ff9b::127.0.0.1]', no],
    ['https://10.0.0.1', 'https://192.168.0.1', yes],
    ['https://10.0.0.1', 'https://127.0.0.1', no],
    ['https://10.0.0.1', 'https://169.254.169.254', no],
    ['https://127.0.0.1', 'https://10.0.0.1', yes],
    ['https://127.0.0.1', 'http://127.0.0.1:5000', no],
    ['http://127.0.0.1', 'http://10.0.0.1', no],
  ] as const)
    it(`at ${base} ${isAllowed ? 'may' : 'may not'} lead to ${target}`, async () => {
      const addresses = new Destinations(new URL(base)).addressesOf(new URL(target), 'GET /');
      if (isAllowed) assert.equal((await addresses).length, 1);
      else assert.match(await cameOf(addresses), /; nothing was sent there$/);
    });

  it('is told that its token service is not on https', async () => {
    const challenge = `Bearer realm="http://127.0.0.1:${port}/token"`;
    const url = new URL('https://203.0.113.7/v2/');
    const reply = {
      status: 401,
      headers: { 'www-authenticate': challenge },
      body: Buffer.alloc(0),
      url,
      asked: '',
    };
    const read = Promise.try(() => readChallenge(reply, url));
    assert.equal(await cameOf(read), `a token service that is not on https: http://127.0.0.1:${port}`);
  });
});
