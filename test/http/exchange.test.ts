import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { Exchange } from '../../lib/http/exchange.ts';

function exchange(method = 'GET'): Exchange {
  const request = new IncomingMessage(new Socket());
  Object.assign(request, { method, url: '/', httpVersionMajor: 1, httpVersionMinor: 1 });
  return new Exchange(request, new ServerResponse(request));
}

/** The head of the response, as it is sent. */
function headOf({ res }: Exchange): string {
  return (res as ServerResponse & { readonly _header: string })._header;
}

describe('an exchange', () => {
  it('sets the length of a body in bytes', () => {
    const one = exchange();
    one.body = 'größer';
    one.send(assert.ifError);
    assert.match(headOf(one), /^HTTP\/1\.1 200 OK\r\n(.+\r\n)*Content-Length: 8\r\n/);
  });

  it('says for HEAD what a GET would say, or what is set', () => {
    const [whole, described] = [exchange('HEAD'), exchange('HEAD')];
    whole.body = Buffer.from('some bytes');
    whole.send(assert.ifError);
    described.length = 2 ** 40;
    described.send(assert.ifError);
    assert.match(headOf(whole), /Content-Length: 10\r\n/);
    assert.match(headOf(described), /Content-Length: 1099511627776\r\n/);
  });

  it('says nothing of the body of a response that has none', () => {
    for (const status of [204, 304]) {
      const one = exchange();
      one.set('Content-Type', 'text/plain');
      one.set('ETag', '"one"');
      one.body = 'something';
      one.status = status;
      one.send(assert.ifError);
      assert.doesNotMatch(headOf(one), /Content-/);
      assert.match(headOf(one), /ETag: "one"\r\n/);
    }
  });

  it('adds a name to Vary once', () => {
    const one = exchange();
    one.vary('Accept');
    one.vary('Origin');
    one.vary('accept');
    assert.equal(one.res.getHeader('Vary'), 'Accept, Origin');
    one.set('Vary', ['Cookie', 'Accept']);
    one.vary('Origin');
    assert.equal(one.res.getHeader('Vary'), 'Cookie, Accept, Origin');
    one.set('Vary', '*');
    one.vary('Accept');
    assert.equal(one.res.getHeader('Vary'), '*');
  });

  it('changes nothing after the response has begun', () => {
    const one = exchange();
    one.body = 'first';
    one.send(assert.ifError);
    const late = Readable.from(['late']);
    one.status = 500;
    one.set('ETag', '"late"');
    one.vary('Accept');
    one.body = late;
    assert.equal(one.status, 200);
    assert.ok(late.destroyed, 'nothing would read it');
    one.body = 'late';
  });

  it('destroys a stream that is not sent', () => {
    const [replaced, unread, gone] = [exchange(), exchange('HEAD'), exchange()];
    const streams = [replaced, unread, gone].map((one) => {
      const stream = Readable.from(['bytes']);
      one.body = stream;
      return stream;
    });
    replaced.body = 'an error';
    unread.send(assert.ifError);
    gone.res.end();
    gone.send(assert.ifError);
    assert.deepEqual(
      streams.map(({ destroyed }) => destroyed),
      [true, true, true],
    );
  });
});
