import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, it } from 'node:test';
import type { Logger } from 'pino';
import { createServices } from '../../lib/compose.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { all } from '../../lib/http/all.ts';
import { createApp } from '../../lib/http/app.ts';
import { folderStorage } from '../servers/storage.ts';

it('an application answers with 500 if it fails before it can write an error', async () => {
  const storage = await folderStorage();
  after(() => {
    storage.remove();
  });
  const config = loadConfig('server', {
    ...storage.settings,
    REGISTRY_AUTH: 'none',
    REGISTRY_LOG_LEVEL: 'error',
  });
  const services = await createServices('server', config);
  const fault = new Error('a fault');
  const clientOf = () => {
    throw fault;
  };
  const faults: unknown[] = [];
  const error = ({ err }: { readonly err: unknown }) => faults.push(err);
  const app = createApp(all, { ...services, clientOf, log: { error } as unknown as Logger });
  const server = createServer((request, response) => void app(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  after(() => {
    server.close();
  });
  const { status } = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`);
  assert.equal(status, 500);
  assert.deepEqual(faults, [fault]);
});
