import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { Client, digestOf, type Ask, type Reply } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

export const name = 'team/app';
export const bytes = Buffer.from('some bytes');
export const digest = digestOf(bytes);

/** Accepted statuses and the error code of each. */
export type Refusal = Readonly<Record<number, string>>;

export const nameInvalid: Refusal = { 400: 'NAME_INVALID' };
export const tagInvalid: Refusal = { 400: 'TAG_INVALID' };
export const digestInvalid: Refusal = { 400: 'DIGEST_INVALID' };
export const noEndpoint: Refusal = { 404: 'UNSUPPORTED' };

/** Requests that no well-behaved client sends: each gets the status and error of the spec, and nothing is stored. */
export function hostileInput() {
  let planes: Planes;
  let store: ObjectStore;
  const ways: [string, () => Client][] = [
    ['the streaming server', () => new Client(planes.server)],
    ['the functions', () => new Client(planes.gateway)],
  ];

  before(async () => {
    planes = await startPlanes();
    store = await planes.storage.open();
    await new Client(planes.server).pushImage(name, 'there');
  });

  after(async () => {
    await planes.stop();
  });

  /** Every object with its ETag. */
  const stored = async (): Promise<readonly string[]> => {
    const { objects, next } = await store.list({});
    assert.equal(next, undefined);
    return objects.map(({ key, etag }) => `${key} ${etag}`);
  };

  const assertRefused = async (client: Client, ask: Ask, refusal: Refusal): Promise<Reply> => {
    const before = await stored();
    const reply = await client.send(ask);
    assert.deepEqual(await stored(), before, 'something was stored, or is gone');
    const code = refusal[reply.status];
    assert.ok(
      code !== undefined,
      `${ask.method} ${ask.path.slice(0, 80)}: ${reply.status} ${reply.body.toString()}`,
    );
    if (ask.method === 'HEAD') return reply;
    assert.equal(reply.headers['content-type'], 'application/json');
    const text = reply.body.toString();
    const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
    assert.deepEqual([...new Set(errors.map((error) => error.code))], [code]);
    assert.ok(errors.every(({ message }) => message.length > 5));
    assert.doesNotMatch(text, /\bat .*\.ts:|node:|\/tmp\/|ENOENT|EISDIR/, 'something internal');
    assert.ok(text.length < 4000, `an answer of ${text.length} bytes`);
    return reply;
  };

  const refuses = (what: string, ask: Ask, refusal: Refusal): void => {
    for (const [way, client] of ways)
      it(`${what} through ${way}`, async () => {
        await assertRefused(client(), ask, refusal);
      });
  };

  return { ways, assertRefused, refuses, planes: () => planes };
}
