import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { streamHash } from '../../lib/registry/uploads/content-hash.ts';
import { blobData, uploadData } from '../../lib/registry/layout.ts';
import { decodeSession, encodeSession, type Session } from '../../lib/registry/uploads/session-object.ts';
import { digestOf } from '../functions/client.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';

const id = randomUUID();
const etag = 'of the object';
const part = { number: 1, etag: 'a', size: 5 };
const foreign = blobData(parseDigest(digestOf(Buffer.from('of an image'))));

function session(more: Partial<Session> = {}): Session {
  const sent = Buffer.from('hello');
  const hash = streamHash();
  hash.update(sent);
  return {
    id,
    repository: parseRepositoryName('team/app'),
    startedAt: new Date(0),
    offset: sent.byteLength,
    hash: hash.state(),
    multipart: undefined,
    tail: sent,
    etag,
    ...more,
  };
}

function inParts(parts: unknown, more: Partial<Session> = {}): Session {
  const multipart = { key: uploadData(id, 'a'), uploadId: 'u', parts: parts as [] };
  return session({ multipart, tail: Buffer.alloc(0), ...more });
}

function decoded(written: object, bytes = encodeSession(written as Session)): Session {
  return decodeSession(id, bytes, etag);
}

describe('the session object of an upload', () => {
  for (const [what, written] of [
    ['bytes in the tail', session()],
    ['bytes in a part', inParts([part])],
    ['parts that are apart', inParts([part, { ...part, key: uploadData(id, 'b') }], { offset: 10 })],
    ['no bytes', session({ offset: 0, tail: Buffer.alloc(0) })],
  ] as const)
    it(`a session object is read as written, with ${what}`, () => {
      assert.deepEqual(decoded(written), written);
    });

  it('a session object belongs to its own upload, whatever id it contains', () => {
    const [line = '', tail = ''] = encodeSession(session()).toString().split('\n');
    const forged = { ...(JSON.parse(line) as object), id: '../blobs', etag: 'b', tail: '' };
    assert.deepEqual(decodeSession(id, Buffer.from(`${JSON.stringify(forged)}\n${tail}`), etag), session());
  });

  for (const [what, written] of [
    ['fewer bytes than were received', session({ offset: 6 })],
    ['more bytes than were received', session({ tail: Buffer.from('hello, world') })],
    ['an offset of no number', session({ offset: '5' as unknown as number })],
    ['a part too few', inParts([], { offset: 5 })],
    ['parts that are no list', inParts('parts')],
    ['a part of no size', inParts([{ number: 1, etag: 'a' }])],
    ["a part that is an object of others'", inParts([{ ...part, key: foreign }])],
    ['a part of another upload', inParts([{ ...part, key: uploadData(randomUUID(), 'a') }])],
  ] as const)
    it(`a session object with ${what} is damaged`, () => {
      assert.throws(
        () => decoded(written, encode(written)),
        /^DamagedSession: the session of the upload .* is damaged$/,
      );
    });
});

/** As {@link encodeSession}, of what it would not take. */
function encode({ tail, ...description }: Session): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ version: 1, ...description })}\n`), tail]);
}
