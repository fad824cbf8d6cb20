import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FileBody } from '../../lib/storage/filesystem/body.ts';
import { readAheadBudget } from '../../lib/storage/read-ahead.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

/** A destination that uses a chunk until it calls back, as a socket does. */
class Destination extends Writable {
  readonly memory = new Set<ArrayBufferLike>();
  readonly #pieces: Buffer[] = [];

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error) => void): void {
    this.memory.add(chunk.buffer);
    void turn()
      .then(turn)
      .then(() => {
        this.#pieces.push(Buffer.from(chunk));
        done();
      });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

describe('the body of a file', () => {
  const content = randomBytes(20 * 1024 * 1024 + 7);
  let folder: Folder;
  let path: string;

  before(async () => {
    folder = await temporaryFolder('file-body');
    path = join(folder.path, 'file');
    await fs.writeFile(path, content);
  });
  after(() => {
    folder.remove();
  });

  const open = async (start = 0, end = content.length): Promise<FileBody> =>
    new FileBody('key', await fs.open(path), start, end, readAheadBudget(1));

  it('a response gets all bytes from two buffers of each size', async () => {
    const [body, destination] = [await open(), new Destination()];
    await pipeline(body, destination);
    assert.ok(destination.bytes.equals(content));
    const sizes = Map.groupBy(destination.memory, ({ byteLength }) => byteLength);
    for (const [size, buffers] of sizes) assert.ok(buffers.length <= 2, `${buffers.length} of ${size} bytes`);
    assert.ok(sizes.size > 3);
  });

  it('a pipe sends a range, and ends its destination unless told otherwise', async () => {
    for (const end of [true, false]) {
      const [body, destination] = [await open(5, 100_000), new Destination()];
      body.pipe(destination, { end });
      await new Promise((resolve) => body.once('close', resolve));
      if (!end) await turn();
      assert.equal(destination.writableEnded, end);
      await new Promise<void>((resolve) => destination.end(resolve));
      assert.ok(destination.bytes.equals(content.subarray(5, 100_000)));
    }
  });

  it('a reader that keeps the chunks gets a buffer for each', async () => {
    assert.ok((await buffer(await open())).equals(content));
  });

  it('a response ends with an error if the file is shorter, and closes the file if its client leaves', async () => {
    await assert.rejects(pipeline(await open(0, content.length + 1), new Destination()), {
      name: 'StoreUnavailable',
      message: /ends at/,
    });
    const [body, destination] = [await open(), new Destination()];
    const sending = pipeline(body, destination);
    await turn();
    destination.destroy();
    await assert.rejects(sending, { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    if (!body.closed) await new Promise((resolve) => body.once('close', resolve));
  });
});
