import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { resumableHash, streamHash, type ContentHash } from '../../lib/registry/content-hash.ts';

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Around the 64 bytes of a block, where a state is most delicate. */
const pieces = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.integer({ min: 55, max: 130 }).map((size) => Buffer.alloc(size, size)),
  ),
  { maxLength: 12 },
);

/** Goes on in a new instance, as the next process does. */
async function handedOn(hash: ContentHash): Promise<ContentHash> {
  const state = hash.state();
  assert.equal(state.kind, 'resumable');
  return await resumableHash((JSON.parse(JSON.stringify(state)) as { state: string }).state);
}

for (const [what, make] of [
  ['streamHash', () => Promise.resolve(streamHash())],
  ['resumableHash', resumableHash],
] as const)
  describe(what, () => {
    it("has node:crypto's digest of the bytes, however they are split", async () => {
      await fc.assert(
        fc.asyncProperty(pieces, async (parts) => {
          const hash = await make();
          for (const part of parts) hash.update(part);
          assert.equal(hash.digest(), digestOf(Buffer.concat(parts)));
        }),
      );
    });

    it('tells the digest so far at any time, and goes on', async () => {
      await fc.assert(
        fc.asyncProperty(pieces, async (parts) => {
          const hash = await make();
          for (const [i, part] of parts.entries()) {
            assert.equal(hash.digest(), digestOf(Buffer.concat(parts.slice(0, i))));
            hash.update(part);
            assert.equal(hash.digest(), digestOf(Buffer.concat(parts.slice(0, i + 1))));
          }
        }),
      );
    });

    it('knows the digest of nothing', async () => {
      const empty = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
      assert.equal((await make()).digest(), empty);
    });

    it('counts only the bytes of the view it is given', async () => {
      const hash = await make();
      hash.update(Buffer.from('0123456789').subarray(2, 5));
      assert.equal(hash.digest(), digestOf(Buffer.from('234')));
    });

    it('is not disturbed by another at work in between', async () => {
      const [one, two] = [await make(), await make()];
      one.update(Buffer.from('on'));
      two.update(Buffer.from('tw'));
      one.update(Buffer.from('e'));
      two.update(Buffer.from('o'));
      assert.equal(one.digest(), digestOf(Buffer.from('one')));
      assert.equal(two.digest(), digestOf(Buffer.from('two')));
    });
  });

describe('the state of a hash', () => {
  it('of a stream is the digest so far', () => {
    const hash = streamHash();
    hash.update(Buffer.from('abc'));
    assert.deepEqual(hash.state(), { kind: 'final', digest: digestOf(Buffer.from('abc')) });
    hash.update(Buffer.from('def'));
    assert.deepEqual(hash.state(), { kind: 'final', digest: digestOf(Buffer.from('abcdef')) });
  });

  it('that is resumable goes on in a new instance after every piece', async () => {
    await fc.assert(
      fc.asyncProperty(pieces, async (parts) => {
        let hash = await resumableHash();
        for (const part of parts) {
          hash.update(part);
          hash = await handedOn(hash);
        }
        assert.equal(hash.digest(), digestOf(Buffer.concat(parts)));
      }),
    );
  });

  it('can be taken twice: each goes on by itself', async () => {
    const hash = await resumableHash();
    hash.update(Buffer.alloc(100, 1));
    const [one, two] = [await handedOn(hash), await handedOn(hash)];
    one.update(Buffer.from('one'));
    two.update(Buffer.from('two'));
    hash.update(Buffer.from('self'));
    for (const [each, end] of [
      [one, 'one'],
      [two, 'two'],
      [hash, 'self'],
    ] as const)
      assert.equal(each.digest(), digestOf(Buffer.concat([Buffer.alloc(100, 1), Buffer.from(end)])));
  });

  it('is small, whatever the hash has seen', async () => {
    const hash = await resumableHash();
    hash.update(Buffer.alloc(1 << 20, 7));
    assert.ok(JSON.stringify(hash.state()).length < 250);
  });

  it('counts on past 512 MiB, whose bits fill 32 bits', async () => {
    const bytes = Buffer.alloc(32 << 20, 'x');
    let hash = await resumableHash();
    const whole = createHash('sha256');
    for (let i = 0; i < 17; i += 1) {
      hash.update(bytes);
      whole.update(bytes);
      if (i >= 14) hash = await handedOn(hash);
    }
    assert.equal(hash.digest(), `sha256:${whole.digest('hex')}`);
  });

  it('that is damaged is refused', async () => {
    await assert.rejects(resumableHash('AAAA'));
    await assert.rejects(resumableHash(''));
  });
});
