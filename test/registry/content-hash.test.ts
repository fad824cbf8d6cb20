import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Algorithm } from '../../lib/protocol/digests.ts';
import {
  algorithmOf,
  digestOf as digestOfAll,
  resumableHash,
  streamHash,
  type ContentHash,
} from '../../lib/registry/uploads/content-hash.ts';

interface Known {
  /** Bytes. */
  readonly block: number;
  readonly empty: string;
  /** Characters of a state, at most. */
  readonly state: number;
}

const algorithms: Readonly<Record<Algorithm, Known>> = {
  sha256: {
    block: 64,
    empty: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    state: 250,
  },
  sha512: {
    block: 128,
    empty:
      'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e',
    state: 350,
  },
};

/** Goes on in a new instance, as the next process does. */
async function handedOn(hash: ContentHash): Promise<ContentHash> {
  const state = JSON.parse(JSON.stringify(hash.state())) as ReturnType<ContentHash['state']>;
  assert.equal(state.kind, 'resumable');
  return await resumableHash(algorithmOf(state), state.state);
}

for (const [algorithm, known] of Object.entries(algorithms) as [Algorithm, Known][]) {
  const digestOf = (bytes: Uint8Array): string =>
    `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

  /** Around the bytes of a block, where a state is most delicate. */
  const pieces = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: known.block - 20, max: 2 * known.block + 2 }).map((size) => Buffer.alloc(size, size)),
    ),
    { maxLength: 12 },
  );

  for (const [what, make] of [
    ['streamHash', async () => await Promise.resolve(streamHash(algorithm))],
    ['resumableHash', async () => await resumableHash(algorithm)],
  ] as const)
    describe(`${what} of ${algorithm}`, () => {
      it(`${what} of ${algorithm} agrees with node:crypto, however the bytes are split`, async () => {
        await fc.assert(
          fc.asyncProperty(pieces, async (parts) => {
            const hash = await make();
            for (const part of parts) hash.update(part);
            assert.equal(hash.digest(), digestOf(Buffer.concat(parts)));
          }),
        );
      });

      it('returns the digest so far at any time and continues', async () => {
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
        assert.equal((await make()).digest(), `${algorithm}:${known.empty}`);
      });

      it('hashes only the bytes of the given view', async () => {
        const hash = await make();
        hash.update(Buffer.from('0123456789').subarray(2, 5));
        assert.equal(hash.digest(), digestOf(Buffer.from('234')));
      });

      it(`${what} of ${algorithm} is independent of concurrent hashes`, async () => {
        const [one, two] = [await make(), await make()];
        one.update(Buffer.from('on'));
        two.update(Buffer.from('tw'));
        one.update(Buffer.from('e'));
        two.update(Buffer.from('o'));
        assert.equal(one.digest(), digestOf(Buffer.from('one')));
        assert.equal(two.digest(), digestOf(Buffer.from('two')));
      });

      it('says in its state which algorithm it is of', async () => {
        const hash = await make();
        for (const bytes of [Buffer.alloc(0), Buffer.alloc(200)]) {
          hash.update(bytes);
          assert.equal(algorithmOf(hash.state()), algorithm);
        }
      });
    });

  describe(`the state of a hash of ${algorithm}`, () => {
    it(`the state of a stream's hash of ${algorithm} is the digest so far`, () => {
      const hash = streamHash(algorithm);
      hash.update(Buffer.from('abc'));
      assert.deepEqual(hash.state(), { kind: 'final', digest: digestOf(Buffer.from('abc')) });
      hash.update(Buffer.from('def'));
      assert.deepEqual(hash.state(), { kind: 'final', digest: digestOf(Buffer.from('abcdef')) });
    });

    it(`the state of a resumable hash of ${algorithm} continues in a new instance after every piece`, async () => {
      await fc.assert(
        fc.asyncProperty(pieces, async (parts) => {
          let hash = await resumableHash(algorithm);
          for (const part of parts) {
            hash.update(part);
            hash = await handedOn(hash);
          }
          assert.equal(hash.digest(), digestOf(Buffer.concat(parts)));
        }),
      );
    });

    it(`the state of a hash of ${algorithm} can be taken twice, and both continue independently`, async () => {
      const hash = await resumableHash(algorithm);
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

    it(`the state of a hash of ${algorithm} is small after any number of bytes`, async () => {
      const hash = await resumableHash(algorithm);
      hash.update(Buffer.alloc(1 << 20, 7));
      assert.ok(JSON.stringify(hash.state()).length < known.state);
    });

    it('the state of a hash counts beyond 512 MiB, whose bits fill 32 bits', async () => {
      const bytes = Buffer.alloc(32 << 20, 'x');
      let hash = await resumableHash(algorithm);
      const whole = createHash(algorithm);
      for (let i = 0; i < 17; i += 1) {
        hash.update(bytes);
        whole.update(bytes);
        if (i >= 14) hash = await handedOn(hash);
      }
      assert.equal(hash.digest(), `${algorithm}:${whole.digest('hex')}`);
    });

    it(`a damaged or foreign state of a hash of ${algorithm} is refused`, async () => {
      const others = Object.keys(algorithms).filter((other) => other !== algorithm) as Algorithm[];
      const states = await Promise.all(
        others.map(async (other) => {
          const state = (await resumableHash(other)).state();
          return state.kind === 'resumable' ? state.state : assert.fail('it is not resumable');
        }),
      );
      for (const state of ['AAAA', '', ...states]) await assert.rejects(resumableHash(algorithm, state));
    });
  });

  it(`digestOf is ${algorithm} of bytes that are all there, and of no more than the view`, () => {
    const bytes = Buffer.from('0123456789').subarray(2, 5);
    assert.equal(digestOfAll(bytes, algorithm), digestOf(Buffer.from('234')));
  });
}

describe('the default algorithm', () => {
  it('SHA-256 is the default algorithm', async () => {
    const bytes = Buffer.from('abc');
    const digest = digestOfAll(bytes, 'sha256');
    assert.equal(digestOfAll(bytes), digest);
    for (const hash of [streamHash(), await resumableHash()]) {
      hash.update(bytes);
      assert.equal(hash.digest(), digest);
    }
  });

  it('SHA-256 is the algorithm of a saved state without one', async () => {
    const hash = await resumableHash('sha256');
    hash.update(Buffer.from('abc'));
    const saved = hash.state();
    assert.ok(saved.kind === 'resumable');
    const before = { kind: 'resumable', state: saved.state } as const;
    const goesOn = await resumableHash(algorithmOf(before), before.state);
    assert.equal(goesOn.digest(), digestOfAll(Buffer.from('abc'), 'sha256'));
  });
});
