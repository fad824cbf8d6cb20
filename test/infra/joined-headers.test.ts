import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import '../../infra/offline/joined-headers.ts';

describe('a server under which several lines of a header are joined', () => {
  const server = createServer((asked, answer) => {
    answer.end(JSON.stringify(asked.rawHeaders));
  });

  after(() => {
    server.close();
  });

  it('joins repeated headers into one line, as API Gateway does', async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const headers = [
      'Host',
      'a',
      'Accept',
      'a/b',
      'X-One',
      '1',
      'accept',
      'c/d;q=0.5',
      'Cookie',
      'a=b',
      'Cookie',
      'c=d',
    ];
    const asked = request({
      host: '127.0.0.1',
      port,
      headers: [...headers, 'Connection', 'close'],
      agent: false,
    });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    const raw = JSON.parse((await answer.toArray()).join('')) as string[];
    assert.deepEqual(raw, [
      ...['Host', 'a', 'Accept', 'a/b, c/d;q=0.5', 'X-One', '1', 'Cookie', 'a=b; c=d', 'Connection', 'close'],
    ]);
  });
});
