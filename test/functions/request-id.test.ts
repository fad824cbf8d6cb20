import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Handler } from '../../lib/lambda/handler.ts';
import { startGateway, type Gateway } from '../servers/gateway.ts';
import { handlers } from '../servers/handlers.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { send } from './client.ts';

describe('a function', () => {
  let storage: TestStorage;
  let gateway: Gateway;
  /** The ids that the gateway gave to requests. */
  const ids: string[] = [];

  before(async () => {
    storage = await folderStorage();
    Object.assign(process.env, storage.settings, {
      REGISTRY_HTTP_DATAPLANE: 'http://127.0.0.1:1',
      REGISTRY_LOG_LEVEL: 'error',
    });
    const noting =
      (handler: Handler): Handler =>
      async (event, context) => {
        ids.push(event.requestContext.requestId);
        return await handler(event, context);
      };
    const noted = Object.entries(handlers).map(([name, handler]) => [name, noting(handler)]);
    gateway = await startGateway(Object.fromEntries(noted) as typeof handlers);
  });

  after(async () => {
    await gateway.stop();
    storage.remove();
  });

  const ask = async () =>
    await send(gateway.url, { method: 'GET', path: '/v2/', headers: { 'x-request-id': 'of-a-client' } });

  it('that cannot start answers with the id of the gateway', async () => {
    delete process.env['REGISTRY_HTTP_SECRET'];
    const { status, headers } = await ask();
    assert.deepEqual([status, headers['x-request-id']], [503, ids.at(-1)]);
  });

  it('answers with the id of the gateway, and not with that of the client', async () => {
    process.env['REGISTRY_HTTP_SECRET'] = 'the secret of a test with ids';
    const { status, headers } = await ask();
    assert.deepEqual([status, headers['x-request-id']], [200, ids.at(-1)]);
  });
});
