import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { OffsetMismatch, type Chunk } from '../../lib/registry/interface.ts';
import {
  assertBlob,
  assertGone,
  assertUnchanged,
  begun,
  body,
  broken,
  chunk,
  digestOf,
  fresh,
  hasBytes,
  leftOf,
  MiB,
  reset,
  sessions,
  stream,
  unknown,
  uploads,
} from './upload-steps.ts';

for (const [what, size, take] of sessions)
  describe(`${what} that meets an error`, () => {
    async function prepared(): Promise<{
      name: RepositoryName;
      id: string;
      sent: Buffer;
      more: Buffer;
      finish: () => Promise<void>;
    }> {
      const name = fresh();
      const [sent, more] = [randomBytes(size), randomBytes(2000)];
      const id = await begun(name, [sent, take]);
      return {
        name,
        id,
        sent,
        more,
        finish: async () => {
          await uploads().append(name, id, chunk(more, size));
          await uploads().finish(name, id, digestOf(sent, more), undefined);
          await assertBlob(name, digestOf(sent, more), size + more.length);
        },
      };
    }

    it(`${what} refuses a chunk at a wrong offset, returns the current one and continues`, async () => {
      const { name, id, more, finish } = await prepared();
      for (const start of [0, size - 1, size + 1]) {
        const mismatch = (error: unknown) =>
          error instanceof OffsetMismatch && error.offset === size && error.status === 416;
        for (const request of [
          async () => await uploads().append(name, id, chunk(more, start)),
          async () => {
            await uploads().finish(name, id, digestOf(more), chunk(more, start));
          },
        ])
          await assertUnchanged(name, id, request, mismatch);
      }
      await finish();
    });

    it(`${what} keeps its bytes after a wrong digest, with and without more bytes`, async () => {
      const { name, id, sent, more } = await prepared();
      const wrong = digestOf(randomBytes(8));
      for (const last of [undefined, chunk(more, size)])
        await assertUnchanged(
          name,
          id,
          async () => {
            await uploads().finish(name, id, wrong, last);
          },
          { failure: 'DIGEST_INVALID', status: 400 },
        );
      assert.equal(await hasBytes(wrong), false);
      await uploads().finish(name, id, digestOf(sent), undefined);
      await assertBlob(name, digestOf(sent), size);
    });

    it(`${what} keeps its bytes after an interrupted body and continues`, async () => {
      const { name, id, more, finish } = await prepared();
      for (const partial of [true, false])
        for (const bytes of partial ? [more, Buffer.alloc(0)] : [more, randomBytes(6 * MiB)]) {
          await assertUnchanged(
            name,
            id,
            async () => await uploads().append(name, id, broken(bytes, size, partial)),
            reset,
          );
          if (bytes !== more) continue;
          await assertUnchanged(
            name,
            id,
            async () => {
              await uploads().finish(name, id, digestOf(more), broken(bytes, size, partial));
            },
            reset,
          );
        }
      await finish();
    });

    for (const [which, difference] of [
      ['few', -1],
      ['many', 1],
    ] as const)
      it(`${what} refuses a body of too ${which} bytes and continues`, async () => {
        const { name, id, more, finish } = await prepared();
        const short: Chunk = { ...chunk(more, size), length: more.length - difference };
        await assertUnchanged(name, id, async () => await uploads().append(name, id, short), {
          failure: 'SIZE_INVALID',
          status: 400,
        });
        await finish();
      });

    it(`${what} is replaced by a PUT of the whole blob, as containerd retries`, async () => {
      const { name, id, sent, more } = await prepared();
      const whole = Buffer.concat([sent, more]);
      await uploads().finish(name, id, digestOf(whole), stream(whole));
      await assertBlob(name, digestOf(whole), whole.length);
      assert.deepEqual(await leftOf(id), []);
    });

    it(`${what} survives a PUT of the whole blob that is interrupted or has a wrong digest`, async () => {
      const { name, id, finish } = await prepared();
      const whole = randomBytes(6 * MiB);
      const put = (last: Chunk) => async () => {
        await uploads().finish(name, id, digestOf(randomBytes(1)), last);
      };
      await assertUnchanged(name, id, put(broken(whole, 0, false)), reset);
      await assertUnchanged(name, id, put(stream(whole)), { failure: 'DIGEST_INVALID' });
      await finish();
    });

    it(`${what} is unknown to other repositories, which cannot finish or cancel it`, async () => {
      const { name, id, sent, more, finish } = await prepared();
      const other = fresh();
      await uploads().put(other, digestOf(sent), { body: body(sent), length: size });
      for (const request of [
        async () => await uploads().status(other, id),
        async () => await uploads().append(other, id, chunk(more, size)),
        async () => {
          await uploads().finish(other, id, digestOf(sent), undefined);
        },
        async () => {
          await uploads().cancel(other, id);
        },
      ])
        await assertUnchanged(name, id, request, unknown);
      await finish();
    });

    it(`${what} is deleted with all its bytes when it is cancelled`, async () => {
      const { name, id, sent, more } = await prepared();
      await uploads().cancel(name, id);
      assert.deepEqual(await leftOf(id), []);
      await assertGone(name, id, digestOf(sent), chunk(more, size));
      assert.equal(await hasBytes(digestOf(sent)), false);
    });

    it(`${what} may be finished twice, as the first response may be lost`, async () => {
      const { name, id, sent } = await prepared();
      await uploads().finish(name, id, digestOf(sent), undefined);
      await uploads().finish(name, id, digestOf(sent), undefined);
      await uploads().finish(name, id, digestOf(sent), stream(sent));
      await assertBlob(name, digestOf(sent), size);
      await assertGone(name, id, digestOf(randomBytes(8)), undefined);
    });
  });
