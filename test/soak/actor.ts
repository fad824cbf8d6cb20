import assert from 'node:assert/strict';
import { contentRange, withDigest, type Ask, type Reply } from '../functions/client.ts';
import { Unanswered, type ManyInstances } from './client.ts';
import { gone, there, type History, type Span } from './history.ts';
import type { Random } from './random.ts';
import { Flicker, type RegistryModel } from './registry-model.ts';
import type { Content, KnownManifest, Universe } from './universe.ts';

/** What clients do, and how often compared with the rest. */
const actions = {
  pushBlob: 6,
  mount: 3,
  cancel: 1,
  race: 1,
  pullBlob: 6,
  deleteBlob: 2,
  pushManifest: 8,
  pullManifest: 6,
  pullTag: 8,
  deleteManifest: 2,
  deleteTag: 2,
  listTags: 3,
  catalog: 1,
} as const;

type Action = keyof typeof actions;

const lots = (Object.keys(actions) as Action[]).flatMap((action) =>
  Array<Action>(actions[action]).fill(action),
);

/** What came of a step: right answers, a request that failed, or an answer that the store's weakness excuses. */
export type Outcome = 'answered' | 'failed' | 'flickered';

/** What the clients of one run share. */
export interface World {
  readonly universe: Universe;
  readonly history: History;
  readonly model: RegistryModel;
}

/** One of the clients: does one random thing after the other, and holds each answer against the model. */
export class Actor {
  readonly #world: World;
  readonly #client: ManyInstances;
  readonly #random: Random;

  constructor(world: World, client: ManyInstances, random: Random) {
    this.#world = world;
    this.#client = client;
    this.#random = random;
  }

  async step(): Promise<Outcome> {
    const action = this.#random.one(lots);
    try {
      await this[action]();
      return 'answered';
    } catch (error) {
      if (error instanceof Unanswered) return 'failed';
      if (error instanceof Flicker) return 'flickered';
      throw error;
    }
  }

  async pushBlob(): Promise<void> {
    const [repository, blob] = [this.#repository(), this.#blob()];
    await this.#push(repository, blob);
  }

  /** In one of the ways clients have. */
  async #push(repository: string, blob: Content): Promise<void> {
    const { model } = this.#world;
    const way = this.#random.one(['post', 'put', 'stream', 'chunks'] as const);
    const sizes = Array.from({ length: 40 }, () => 1 + this.#random.below(3_000_000));
    await this.#write(
      async () => {
        await this.#pushIn(way, sizes, repository, blob);
      },
      (span) => {
        model.wroteBlob(repository, blob.digest, there, span);
      },
      (start) => {
        model.mayPushBlob(repository, blob.digest, start);
      },
    );
  }

  async #pushIn(
    way: 'post' | 'put' | 'stream' | 'chunks',
    sizes: readonly number[],
    repository: string,
    { bytes, digest }: Content,
  ): Promise<void> {
    const uploads = `/v2/${repository}/blobs/uploads/`;
    if (way === 'post') {
      const whole = await this.#client.send(
        { method: 'POST', path: `${uploads}?digest=${digest}`, body: bytes },
        201,
      );
      assert.equal(whole.headers['docker-content-digest'], digest);
      return;
    }
    let path = this.#client.next(await this.#client.send({ method: 'POST', path: uploads }, 202));
    const finish = async (body?: Buffer) =>
      await this.#client.send({ method: 'PUT', path: withDigest(path, digest), ...(body && { body }) }, 201);
    if (way === 'put') {
      await finish(bytes);
      return;
    }
    if (way === 'stream')
      path = this.#client.next(
        await this.#client.send({ method: 'PATCH', path, body: bytes, chunked: true }, 202),
      );
    else {
      let offset = 0;
      for (const size of sizes) {
        const body = bytes.subarray(offset, offset + size);
        if (body.length === 0) break;
        const ask = { method: 'PATCH', path, body, headers: contentRange(offset, body) };
        path = this.#client.next(await this.#client.send(ask, 202));
        offset += body.length;
      }
      assert.equal(offset, bytes.length);
    }
    await finish();
  }

  /** Two requests of one upload at the same moment: at most one of them counts, or neither does. */
  async race(): Promise<void> {
    const { model } = this.#world;
    const [repository, { bytes, digest }] = [this.#repository(), this.#blob()];
    const half = Math.ceil(bytes.length / 2);
    const uploads = `/v2/${repository}/blobs/uploads/`;
    await this.#write(
      async () => {
        const start = this.#client.next(await this.#client.send({ method: 'POST', path: uploads }, 202));
        const body = bytes.subarray(0, half);
        const ask = {
          method: 'PATCH',
          path: start,
          body,
          ...(half > 0 && { headers: contentRange(0, body) }),
        };
        await settled([this.#client.send(ask, 202, 416), this.#client.send(ask, 202, 416)]);
        const status = await this.#client.send({ method: 'GET', path: start }, 204);
        assert.equal(status.headers.range, `0-${Math.max(0, half - 1)}`);
        const put: Ask = {
          method: 'PUT',
          path: withDigest(this.#client.next(status), digest),
          body: bytes.subarray(half),
        };
        const puts = [this.#client.send(put, 201, 400, 404, 416), this.#client.send(put, 201, 400, 404, 416)];
        const answers = await settled(puts);
        if (answers.some(({ status }) => status === 201)) return;
        // What two writers have mixed is refused, and the client begins again.
        await this.#pushIn('put', [], repository, { bytes, digest });
      },
      (span) => {
        model.wroteBlob(repository, digest, there, span);
      },
      (start) => {
        model.mayPushBlob(repository, digest, start);
      },
    );
  }

  async mount(): Promise<void> {
    const { model } = this.#world;
    const [repository, from, { digest }] = [this.#repository(), this.#repository(), this.#blob()];
    const path = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`;
    const reply = await this.#write(
      async () => await this.#client.send({ method: 'POST', path }, 201, 202),
      (span, { status }) => {
        model.readBlob(from, digest, status === 201 ? there : gone, span);
        if (status === 201) model.wroteBlob(repository, digest, there, span);
      },
      (start) => {
        model.mayPushBlob(repository, digest, start);
      },
    );
    if (reply.status === 202) await this.#cancel(reply);
  }

  async cancel(): Promise<void> {
    const { bytes } = this.#blob();
    const path = `/v2/${this.#repository()}/blobs/uploads/`;
    const upload = this.#client.next(await this.#client.send({ method: 'POST', path }, 202));
    const sent = await this.#client.send({ method: 'PATCH', path: upload, body: bytes, chunked: true }, 202);
    const status = await this.#client.send({ method: 'GET', path: upload }, 204);
    assert.equal(status.headers.range, `0-${Math.max(0, bytes.length - 1)}`);
    await this.#cancel(sent);
    await this.#client.send({ method: 'GET', path: upload }, 404);
  }

  async #cancel(upload: Reply): Promise<void> {
    await this.#client.send({ method: 'DELETE', path: this.#client.next(upload) }, 204);
  }

  async pullBlob(): Promise<void> {
    const [repository, { bytes, digest }] = [this.#repository(), this.#blob()];
    const method = this.#random.one(['GET', 'HEAD']);
    const path = `/v2/${repository}/blobs/${digest}`;
    const [reply, span] = await this.#read({ method, path }, 200, 404);
    this.#world.model.readBlob(repository, digest, reply.status === 200 ? there : gone, span);
    if (reply.status !== 200) return;
    assert.equal(reply.headers['content-length'], String(bytes.length));
    if (method === 'GET') assert.ok(reply.body.equals(bytes), `${path} has other bytes`);
  }

  async deleteBlob(): Promise<void> {
    const { model } = this.#world;
    const [repository, { digest }] = [this.#repository(), this.#blob()];
    await this.#write(
      async () =>
        await this.#client.send({ method: 'DELETE', path: `/v2/${repository}/blobs/${digest}` }, 202, 404),
      (span, { status }) => {
        if (status === 202) model.wroteBlob(repository, digest, gone, span);
        else model.readBlob(repository, digest, gone, span);
      },
      (start) => {
        model.mayDeleteBlob(repository, digest, start);
      },
    );
  }

  async pushManifest(): Promise<void> {
    const { model } = this.#world;
    const [repository, pushed] = [this.#repository(), this.#manifest()];
    const tag = this.#random.onceIn(4) ? undefined : this.#tag();
    // A client has pushed what it refers to, mostly.
    if (this.#random.onceIn(2))
      for (const digest of pushed.blobs)
        await this.#push(
          repository,
          this.#world.universe.blobs.find((blob) => blob.digest === digest) ?? assert.fail(),
        );
    await this.#write(
      async () =>
        await this.#client.send(
          {
            method: 'PUT',
            path: `/v2/${repository}/manifests/${tag ?? pushed.digest}`,
            headers: { 'content-type': pushed.type },
            body: pushed.bytes,
          },
          201,
          404,
        ),
      (span, reply) => {
        this.#checkMissing(repository, pushed, reply, span);
        if (reply.status === 201) model.wroteManifest(repository, pushed.digest, span, tag);
      },
      (start) => {
        model.mayPushManifest(repository, pushed.digest, start, tag);
      },
    );
  }

  /** What a manifest needs was there when it was taken; when it was not taken, what it lacks was not. */
  #checkMissing(repository: string, { blobs, manifests }: KnownManifest, reply: Reply, span: Span): void {
    const { model } = this.#world;
    const missing = reply.status === 404 ? digestsIn(reply) : [];
    assert.equal(reply.status === 404, missing.length > 0);
    for (const digest of blobs)
      if (reply.status === 201) model.readBlob(repository, digest, there, span);
      else if (missing.includes(digest)) model.readBlob(repository, digest, gone, span);
    for (const digest of manifests)
      if (reply.status === 201) model.readManifest(repository, digest, there, span);
      else if (missing.includes(digest)) model.readManifest(repository, digest, gone, span);
  }

  async pullManifest(): Promise<void> {
    const [repository, { bytes, digest, type }] = [this.#repository(), this.#manifest()];
    const method = this.#random.one(['GET', 'HEAD']);
    const [reply, span] = await this.#read(
      { method, path: `/v2/${repository}/manifests/${digest}` },
      200,
      404,
    );
    this.#world.model.readManifest(repository, digest, reply.status === 200 ? there : gone, span);
    if (reply.status === 200) assertManifest(reply, { bytes, digest, type }, method);
  }

  async pullTag(): Promise<void> {
    const [repository, tag] = [this.#repository(), this.#tag()];
    const method = this.#random.one(['GET', 'HEAD']);
    const [reply, span] = await this.#read({ method, path: `/v2/${repository}/manifests/${tag}` }, 200, 404);
    const digest = reply.status === 200 ? reply.headers['docker-content-digest'] : gone;
    assert.ok(typeof digest === 'string');
    this.#world.model.readTag(repository, tag, digest, span);
    if (reply.status !== 200) return;
    const pulled = this.#world.universe.manifests.find((one) => one.digest === digest);
    assertManifest(reply, pulled ?? assert.fail(), method);
  }

  async deleteManifest(): Promise<void> {
    const { model } = this.#world;
    const [repository, { digest }] = [this.#repository(), this.#manifest()];
    await this.#write(
      async () =>
        await this.#client.send(
          { method: 'DELETE', path: `/v2/${repository}/manifests/${digest}` },
          202,
          404,
        ),
      (span, { status }) => {
        if (status === 202) model.deletedManifest(repository, digest, span);
        else model.readManifest(repository, digest, gone, span);
      },
      (start) => {
        model.mayDeleteManifest(repository, digest, start);
      },
    );
  }

  async deleteTag(): Promise<void> {
    const { model } = this.#world;
    const [repository, tag] = [this.#repository(), this.#tag()];
    await this.#write(
      async () =>
        await this.#client.send({ method: 'DELETE', path: `/v2/${repository}/manifests/${tag}` }, 202, 404),
      (span, { status }) => {
        if (status === 202) model.deletedTag(repository, tag, span);
        else model.readTag(repository, tag, gone, span);
      },
      (start) => {
        model.mayDeleteTag(repository, tag, start);
      },
    );
  }

  async listTags(): Promise<void> {
    const repository = this.#repository();
    const [reply, span] = await this.#read({ method: 'GET', path: `/v2/${repository}/tags/list` }, 200, 404);
    const { tags = [] } = JSON.parse(reply.body.toString()) as { tags?: string[] };
    this.#world.model.readTags(repository, tags, span);
  }

  async catalog(): Promise<void> {
    const [reply] = await this.#read({ method: 'GET', path: '/v2/_catalog' }, 200);
    const { repositories } = JSON.parse(reply.body.toString()) as { repositories: string[] };
    const known = [...this.#world.universe.repositories].sort();
    assert.deepEqual(
      repositories,
      known.filter((name) => repositories.includes(name)),
    );
  }

  async #read(ask: Ask, ...statuses: readonly number[]): Promise<[Reply, Span]> {
    const { history } = this.#world;
    const start = history.begin();
    let span: Span | undefined;
    try {
      const reply = await this.#client.send(ask, ...statuses);
      span = history.end(start);
      return [reply, span];
    } finally {
      if (span === undefined) history.end(start);
    }
  }

  /**
   * Does something that changes the registry, and tells the model what came of it.
   * @param might tells the model what may come of it, from its start until there is an answer
   */
  async #write<T>(
    act: () => Promise<T>,
    done: (span: Span, result: T) => void,
    might: (start: number) => void,
  ): Promise<T> {
    const { history } = this.#world;
    const start = history.begin();
    might(start);
    try {
      const result = await act();
      history.settle(start);
      done(history.end(start), result);
      return result;
    } catch (error) {
      if (error instanceof Unanswered) history.end(start);
      throw error;
    }
  }

  #repository(): string {
    return this.#random.one(this.#world.universe.repositories);
  }

  /** The large ones are rare. */
  #blob(): Content {
    const { blobs } = this.#world.universe;
    return this.#random.onceIn(12) ? this.#random.one(blobs) : this.#random.one(blobs.slice(0, -2));
  }

  #manifest(): KnownManifest {
    return this.#random.one(this.#world.universe.manifests);
  }

  #tag(): string {
    return this.#random.one(this.#world.universe.tags);
  }
}

/** Waits for all requests before the first failure is thrown. */
async function settled(requests: readonly Promise<Reply>[]): Promise<Reply[]> {
  await Promise.allSettled(requests);
  return await Promise.all(requests);
}

function digestsIn(reply: Reply): readonly string[] {
  const { errors } = JSON.parse(reply.body.toString()) as {
    errors: { code: string; detail?: { digest?: string } }[];
  };
  assert.ok(
    errors.every(({ code }) => code === 'MANIFEST_BLOB_UNKNOWN'),
    reply.body.toString(),
  );
  return errors.map(({ detail }) => detail?.digest ?? assert.fail(reply.body.toString()));
}

function assertManifest(
  { headers, body }: Reply,
  { bytes, digest, type }: Pick<KnownManifest, 'bytes' | 'digest' | 'type'>,
  method: string,
): void {
  assert.equal(headers['docker-content-digest'], digest);
  assert.equal(headers['content-type'], type);
  assert.equal(headers['content-length'], String(bytes.length));
  if (method === 'GET') assert.ok(body.equals(bytes), `${digest} has other bytes`);
}
