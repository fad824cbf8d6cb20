import assert from 'node:assert/strict';
import { request } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import { knownRequest, vectors, type KnownRequest } from '../scs/vectors.ts';
import { startScs, type ScsServer } from './scs.ts';

/** When the known requests were sent. */
const THEN = new Date('2026-11-23T21:37:11Z');

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** The server that stands in for SCS takes what SCS's own SDK sends, and nothing beside it. */
describe('the SCS server of the tests', () => {
  let server: ScsServer;
  let now: Date;

  before(async () => {
    server = await startScs({ ...vectors, now: () => now });
    await server.createBucket(vectors.bucket);
  });

  beforeEach(() => {
    now = THEN;
    server.reset();
  });

  after(async () => {
    await server.stop();
  });

  /** Sends it as it is, with nothing encoded again. */
  const send = async ({ method, target, headers, body }: Omit<KnownRequest, 'name'>): Promise<Reply> => {
    const needsLength = method === 'PUT' || method === 'POST';
    const length = needsLength ? { 'content-length': String(Buffer.byteLength(body)) } : {};
    const outgoing = request(server.endpoint, { method, path: target, headers: { ...headers, ...length } });
    outgoing.end(body);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) };
  };
  const codeOf = ({ body }: Reply) => /<Code>(\w+)<\/Code>/.exec(body)?.[1];

  describe('takes what the SDK has signed', () => {
    // It asks which buckets there are, which a registry does not.
    for (const known of vectors.requests.filter(({ name }) => name !== 'list buckets'))
      it(known.name, async () => {
        const reply = await send(known);
        assert.notEqual(reply.status, 403);
        assert.notEqual(reply.status, 405);
        assert.notEqual(codeOf(reply), 'InvalidArgument');
        assert.notEqual(codeOf(reply), 'InvalidURI');
      });

    for (const { url, key } of vectors.signedUrls)
      it(`a URL of ${key}`, async () => {
        const { pathname, search } = new URL(url);
        const reply = await send({ method: 'GET', target: pathname + search, headers: {}, body: '' });
        // The one key was put above, the other nowhere.
        assert.ok(reply.status === 200 || codeOf(reply) === 'NoSuchKey', reply.body);
      });
  });

  describe('refuses with 403 and a reason', () => {
    const put = knownRequest('put object, custom x-scs-meta headers');
    const location = knownRequest('bucket location');
    const altered: Readonly<Record<string, [Partial<KnownRequest>, code: string, of?: KnownRequest]>> = {
      'another method': [{ method: 'DELETE', body: '' }, 'SignatureDoesNotMatch'],
      'another key': [{ target: '/images/metb' }, 'SignatureDoesNotMatch'],
      'another content type': [with_('content-type', 'text/html'), 'SignatureDoesNotMatch'],
      'an MD5 that was not signed': [with_('content-md5', '1'), 'SignatureDoesNotMatch'],
      'other metadata': [with_('x-scs-meta-a', '2'), 'SignatureDoesNotMatch'],
      'more metadata': [with_('x-scs-meta-c', '3'), 'SignatureDoesNotMatch'],
      'another date': [with_('date', 'Mon, 23 Nov 2026 21:37:12 UTC'), 'SignatureDoesNotMatch'],
      'a date that is none': [with_('date', 'yesterday'), 'RequestTimeTooSkewed'],
      'another access key': [
        with_('authorization', 'OTHER:BYxSTLvJE7b6K5QWmoOnOZwziUU='),
        'InvalidAccessKeyId',
      ],
      'a scheme before the key': [
        with_('authorization', `AWS ${put.headers['authorization'] ?? ''}`),
        'AccessDenied',
      ],
      'no signature': [{ headers: {} }, 'AccessDenied'],
      'a location that is asked for with the signature of another question': [
        { target: '/images/' },
        'SignatureDoesNotMatch',
        location,
      ],
    };
    function with_(name: string, value: string): Partial<KnownRequest> {
      return { headers: { ...put.headers, [name]: value } };
    }
    for (const [name, [change, code, of = put]] of Object.entries(altered))
      it(name, async () => {
        const reply = await send({ ...of, ...change });
        assert.deepEqual([reply.status, codeOf(reply)], [403, code]);
      });

    for (const minutes of [-16, 16])
      it(`a clock that differs by ${minutes} minutes`, async () => {
        now = new Date(THEN.getTime() + minutes * 60_000);
        assert.equal(codeOf(await send(put)), 'RequestTimeTooSkewed');
        now = new Date(THEN.getTime() + Math.sign(minutes) * 14 * 60_000);
        assert.equal((await send(put)).status, 200);
      });
  });

  describe('does nothing that SCS is not known to do', () => {
    const list = knownRequest('list, empty prefix');
    const get = knownRequest('get object');
    const cases: Readonly<Record<string, [KnownRequest, number, string]>> = {
      'a parameter of S3': [{ ...list, target: `${list.target}&list-type=2` }, 400, 'InvalidArgument'],
      'a condition': [{ ...get, headers: { ...get.headers, 'if-match': '"1"' } }, 501, 'NotImplemented'],
      'several ranges': [
        { ...get, headers: { ...get.headers, range: 'bytes=0-1,3-4' } },
        400,
        'InvalidArgument',
      ],
      'an escape with small letters': [{ ...get, target: '/images/a%2b' }, 400, 'InvalidURI'],
      'an escape of what needs none': [{ ...get, target: '/images/%61' }, 400, 'InvalidURI'],
      'a character that is not escaped': [{ ...get, target: '/images/a+b' }, 400, 'InvalidURI'],
      'another method': [{ ...get, method: 'PATCH' }, 405, 'MethodNotAllowed'],
    };
    for (const [name, [asked, status, code]] of Object.entries(cases))
      it(name, async () => {
        const reply = await send(asked);
        assert.deepEqual([reply.status, codeOf(reply)], [status, code]);
      });
  });
});
