import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, describe, it } from 'node:test';
import { HttpEndpoint } from '../../lib/notifications/http/endpoint.ts';
import { pendingPrefix, eventsPrefixOf } from '../../lib/registry/layout.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import { freePort } from '../servers/ports.ts';
import { announce, deliverer, longMs } from './delivering.ts';
import { receiver } from './receiver.ts';
import { notificationOf, webhookConfig } from './samples.ts';

/** A receiver that prints the ids of what it gets, and then answers, or ends by SIGKILL. */
const program = `
const [, port, fate] = process.argv;
require('node:http').createServer((request, response) => {
  let body = '';
  request.on('data', (piece) => (body += piece)).on('end', () => {
    process.stdout.write(JSON.parse(body).events[0].id + '\\n', () => {
      if (fate === 'killed') process.kill(process.pid, 'SIGKILL');
      else response.end();
    });
  });
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
`;

function endpointAt(url: string): HttpEndpoint {
  const config = webhookConfig(url, { backoffMs: 1, timeoutMs: longMs });
  return new HttpEndpoint(config, config.target, {});
}

describe('a receiver that has read an event', () => {
  const running: ChildProcess[] = [];

  afterEach(async () => {
    for (const one of running.splice(0))
      if (one.exitCode === null && one.signalCode === null) {
        one.kill();
        await once(one, 'exit');
      }
  });

  async function start(port: number, fate: 'killed' | 'answers') {
    const one = spawn(process.execPath, ['-e', program, String(port), fate], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    running.push(one);
    const lines: string[] = [];
    const reader = createInterface({ input: one.stdout });
    await once(reader, 'line');
    reader.on('line', (line) => lines.push(line));
    const ended = Promise.all([once(reader, 'close'), once(one, 'exit')]);
    return { process: one, lines, ended };
  }

  it('and closes the connection before a status has failed', async () => {
    const server = await receiver();
    server.answer((response) => response.socket?.destroy());
    const delivery = await endpointAt(server.url).deliver(notificationOf());
    assert.deepEqual([delivery.outcome, delivery.status, server.received.length], ['failed', undefined, 1]);
    await server.stop();
  });

  it('and is killed before a status gets it once more, with the same id', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    const port = await freePort();
    const { id } = await announce(store, 'v1');
    const one = deliverer(store, [endpointAt(`http://127.0.0.1:${port}`)]);
    const killed = await start(port, 'killed');
    await one.drain(longMs);
    await killed.ended;
    assert.deepEqual([killed.lines, killed.process.signalCode], [[id], 'SIGKILL']);
    const again = await start(port, 'answers');
    const left = () =>
      [...store.objects.keys()].filter((key) =>
        [pendingPrefix, eventsPrefixOf('queue')].some((prefix) => key.startsWith(prefix)),
      );
    while (left().length > 0) await one.drain(longMs);
    again.process.kill();
    await again.ended;
    assert.deepEqual(again.lines, [id]);
  });
});
