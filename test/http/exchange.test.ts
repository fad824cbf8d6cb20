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
function headOf(one: Exchange): string {
  one.send(assert.ifError);
  return (one.res as ServerResponse & { readonly _header: string })._header;
}

describe('an exchange', () => {
  it('sets the length of a body in bytes', () => {
    const one = exchange();
    one.body = 'größer';
    assert.match(headOf(one), /^HTTP\/1\.1 200 OK\r\n(.+\r\n)*Content-Length: 8\r\n/);
  });

  it('says for HEAD what a GET would say, or what is set', () => {
    const [whole, described] = [exchange('HEAD'), exchange('HEAD')];
    whole.body = Buffer.from('some bytes');
    described.length = 2 ** 40;
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
      const head = headOf(one);
      assert.doesNotMatch(head, /Content-/);
      assert.match(head, /ETag: "one"\r\n/);
    }
  });

  it('adds a name to Vary once', () => {
    const [none, some, all] = [exchange(), exchange(), exchange()];
    none.vary('Accept');
    none.vary('Origin');
    none.vary('accept');
    assert.match(headOf(none), /\r\nVary: Accept, Origin\r\n/);
    some.set('VARY', ['Cookie', 'Accept']);
    some.vary('Origin');
    assert.match(headOf(some), /\r\nVARY: Cookie, Accept, Origin\r\n/i);
    all.set('Vary', '*');
    all.vary('Accept');
    assert.match(headOf(all), /\r\nVary: \*\r\n/);
  });

  it('replaces a header, however its name is written', () => {
    const one = exchange();
    one.set('x-one', 'first');
    one.set('X-One', 'second');
    assert.match(headOf(one), /\r\nx-one: second\r\n/);
  });

  it('changes nothing after the response has begun', () => {
    const one = exchange();
    one.body = 'first';
    one.send(assert.ifError);
    const late = Readable.from(['late']);
    one.status = 500;
    one.set('ETag', '"late"');
    one.body = late;
    assert.equal(one.status, 200);
    assert.ok(late.destroyed, 'nothing would read it');
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
