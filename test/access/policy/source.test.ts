import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileOrigin } from '../../../lib/access/policy/origins.ts';
import { PolicySource } from '../../../lib/access/policy/source.ts';
import { RegistryError } from '../../../lib/protocol/errors.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { onStores } from '../../registry/on-stores.ts';
import { temporaryFolder, type Folder } from '../../servers/folder.ts';
import { startScs, type ScsServer } from '../../servers/scs.ts';
import { scsStorage } from '../../servers/storage.ts';
import { anonymous } from './policies.ts';

/** A policy by which everybody may pull one repository. */
const allowing = (repository: string) =>
  `rules:\n  - { who: '*', repositories: ${repository}, allow: pull }\n`;

/** The repositories of which some may be pulled. */
async function pullable(source: PolicySource, ...repositories: readonly string[]): Promise<string[]> {
  const policy = await source.current();
  return repositories.filter((repository) => policy.decide(anonymous, 'pull', repository).allowed);
}

/** A clock, and what a source has told. */
class Observer {
  time = Date.now();
  readonly problems: string[] = [];
  readonly loaded: string[] = [];

  get options() {
    return {
      now: () => this.time,
      onProblem: (message: string) => {
        this.problems.push(message);
      },
      onLoaded: (message: string) => {
        this.loaded.push(message);
      },
    };
  }

  pass(seconds: number): void {
    this.time += seconds * 1000;
  }
}

/** Asserts that a source has no policy, for a reason. */
async function assertUnavailable(source: PolicySource, reason: RegExp): Promise<void> {
  await assert.rejects(source.current(), (error: unknown) => {
    assert.ok(error instanceof RegistryError);
    assert.equal(error.status, 503);
    assert.equal(error.message, 'the registry has no valid access policy; its log says why');
    assert.match((error.cause as Error).message, reason);
    return true;
  });
}

describe('a policy in a file', () => {
  let folder: Folder;
  let path: string;
  let observer: Observer;
  let source: PolicySource;

  beforeEach(async () => {
    folder = await temporaryFolder('policy');
    path = join(folder.path, 'policy.yaml');
    observer = new Observer();
    source = PolicySource.file(path, observer.options);
  });

  afterEach(() => {
    folder.remove();
  });

  it('is in force a second after it has changed', async () => {
    writeFileSync(path, allowing('a'));
    assert.deepEqual(await pullable(source, 'a', 'b'), ['a']);
    writeFileSync(path, allowing('b'));
    observer.pass(0.9);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['a']);
    observer.pass(0.1);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['b']);
    assert.deepEqual(observer.problems, []);
    assert.match(
      observer.loaded.join('\n'),
      /^the policy in the file \S+policy\.yaml is in force: 1 rule, SHA-256 [0-9a-f]{64}\n[^\n]+$/,
    );
  });

  it('is read through the symbolic links of Kubernetes, which are replaced', async () => {
    const write = (name: string, text: string) => {
      mkdirSync(join(folder.path, name));
      writeFileSync(join(folder.path, name, 'policy.yaml'), text);
      symlinkSync(name, join(folder.path, '..data_tmp'));
      renameSync(join(folder.path, '..data_tmp'), join(folder.path, '..data'));
    };
    write('..1', allowing('a'));
    symlinkSync('..data/policy.yaml', path);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['a']);
    write('..2', allowing('b'));
    rmSync(join(folder.path, '..1'), { recursive: true });
    observer.pass(1);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['b']);
  });

  it('stays in force when a broken one takes its place, which is told once', async () => {
    writeFileSync(path, allowing('a'));
    await source.current();
    writeFileSync(path, 'rules: [x]');
    for (let i = 0; i < 5; i++) {
      observer.pass(1);
      assert.deepEqual(await pullable(source, 'a'), ['a']);
    }
    assert.equal(observer.problems.length, 1);
    assert.match(
      observer.problems[0] ?? '',
      /policy\.yaml is invalid; the last valid one stays in force: The policy is invalid:\n {2}- line 1: rule 1 must be a mapping/,
    );
    writeFileSync(path, 'rules: [y, z]');
    observer.pass(1);
    await source.current();
    assert.equal(observer.problems.length, 2);
    writeFileSync(path, allowing('b'));
    observer.pass(1);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['b']);
    assert.deepEqual([observer.problems.length, observer.loaded.length], [2, 2]);
  });

  it('stays in force when it is removed, which is told once, and so is its return', async () => {
    writeFileSync(path, allowing('a'));
    await source.current();
    rmSync(path);
    for (let i = 0; i < 3; i++) {
      observer.pass(1);
      assert.deepEqual(await pullable(source, 'a'), ['a']);
    }
    assert.match(
      observer.problems.join('\n'),
      /^[^\n]*is missing; the last valid one stays in force: there is no file [^\n]*$/,
    );
    writeFileSync(path, allowing('a'));
    observer.pass(1);
    await source.current();
    assert.match(observer.loaded.at(-1) ?? '', /can be read again$/);
  });

  it('is read again for 2 s after a write, as another one might not show in its times', async () => {
    const origin = fileOrigin(path);
    writeFileSync(path, allowing('a'));
    assert.equal((await origin.read(undefined))?.version, undefined);
    const old = Date.now() / 1000 - 60;
    utimesSync(path, old, old);
    const version = (await origin.read(undefined))?.version;
    assert.ok(version !== undefined);
    assert.equal(await origin.read(version), undefined);
  });

  it('stays in force when a pipe takes its place, and requests do not wait', async () => {
    writeFileSync(path, allowing('first'));
    assert.deepEqual(await pullable(source, 'first'), ['first']);
    rmSync(path);
    execFileSync('mkfifo', [path]);
    observer.pass(1);
    assert.deepEqual(await pullable(source, 'first'), ['first']);
    assert.match(observer.problems.join(), /is not a file$/);
  });

  it('is not read again while its file system hangs', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let reads = 0;
    const origin = fileOrigin('policy.yaml', () => {
      reads++;
      return promise;
    });
    const first = origin.read(undefined);
    await assert.rejects(origin.read(undefined), /an earlier read has not ended/);
    assert.equal(reads, 1);
    resolve(undefined);
    await first;
    await origin.read(undefined);
    assert.equal(reads, 2);
  });

  it('is read again when the clock was set back', async () => {
    writeFileSync(path, allowing('a'));
    await source.current();
    writeFileSync(path, allowing('b'));
    observer.pass(-3600);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['b']);
  });

  for (const [what, write, reason] of [
    ['missing', () => undefined, /is missing; every request is denied until it is fixed: there is no file/],
    [
      'a folder',
      () => {
        mkdirSync(path);
      },
      /cannot be read; .*EISDIR|is not a file/,
    ],
    [
      'broken',
      () => {
        writeFileSync(path, 'rules: x');
      },
      /is invalid; .*\n {2}- line 1: rules must be a list/,
    ],
    [
      'not UTF-8',
      () => {
        writeFileSync(path, Buffer.from('rules: []\n# \xe9', 'latin1'));
      },
      /line 1: the policy is not UTF-8/,
    ],
    [
      'too large',
      () => {
        writeFileSync(path, '#'.repeat(1024 ** 2 + 1));
      },
      /line 1: the policy has more than 1 MiB/,
    ],
  ] as const)
    it(`leaves every request unavailable while it is ${what} at the start, and is looked for every 2 s`, async () => {
      write();
      await assertUnavailable(source, reason);
      rmSync(path, { recursive: true, force: true });
      writeFileSync(path, allowing('a'));
      observer.pass(1.9);
      await assertUnavailable(source, reason);
      assert.equal(observer.problems.length, 1);
      observer.pass(0.1);
      assert.deepEqual(await pullable(source, 'a'), ['a']);
    });
});

onStores('a policy in the bucket', (store) => {
  const key = 'stowage/policy.yaml';
  let observer: Observer;
  let source: PolicySource;
  let calls: string[];

  const put = async (text: string) => {
    await store().put(key, Buffer.from(text));
  };

  beforeEach(async () => {
    observer = new Observer();
    calls = [];
    const counting: Pick<ObjectStore, 'head' | 'read'> = {
      head: async (...args) => {
        calls.push('head');
        return await store().head(...args);
      },
      read: async (...args) => {
        calls.push('read');
        return await store().read(...args);
      },
    };
    source = PolicySource.object(counting, key, observer.options);
    await put(allowing('a'));
  });

  it('is asked for its ETag every 30 s, and read when that has changed', async () => {
    for (let seconds = 0; seconds <= 60; seconds += 10) {
      assert.deepEqual(await pullable(source, 'a', 'b'), ['a']);
      observer.pass(10);
    }
    assert.deepEqual(calls, ['read', 'head', 'head']);
    await put(allowing('b'));
    observer.pass(19);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['a']);
    observer.pass(1);
    assert.deepEqual(await pullable(source, 'a', 'b'), ['b']);
    assert.deepEqual(calls, ['read', 'head', 'head', 'head', 'read']);
  });

  it('is read once for all who ask at once', async () => {
    await Promise.all(Array.from({ length: 100 }, async () => await source.current()));
    observer.pass(30);
    await Promise.all(Array.from({ length: 100 }, async () => await source.current()));
    assert.deepEqual(calls, ['read', 'head']);
  });

  it('stays in force while the object is broken, too large or gone', async () => {
    await source.current();
    await put('rules: x');
    observer.pass(30);
    assert.deepEqual(await pullable(source, 'a'), ['a']);
    await put('#'.repeat(1024 ** 2 + 1));
    observer.pass(30);
    assert.deepEqual(await pullable(source, 'a'), ['a']);
    await store().delete([key]);
    observer.pass(30);
    assert.deepEqual(await pullable(source, 'a'), ['a']);
    const told = observer.problems.map((problem) => problem.split('\n').at(-1));
    assert.deepEqual(told, [
      '  - line 1: rules must be a list',
      '  - line 1: the policy has more than 1 MiB',
      `the policy in the object ${key} is missing; the last valid one stays in force: there is no object ${key}`,
    ]);
  });

  it('leaves every request unavailable where there never was one', async () => {
    await store().delete([key]);
    await assertUnavailable(source, /is missing; every request is denied/);
  });
});

describe('a policy in a bucket that cannot be reached', () => {
  let server: ScsServer;
  let store: ObjectStore;
  let observer: Observer;
  let source: PolicySource;
  let answer: () => void = () => undefined;

  before(async () => {
    server = await startScs();
    store = await (await scsStorage(server)).open();
    await store.put('policy.yaml', Buffer.from(allowing('a')));
  });

  beforeEach(() => {
    server.reset();
    observer = new Observer();
    source = PolicySource.object(store, 'policy.yaml', { ...observer.options, readTimeoutMs: 300 });
  });

  afterEach(() => {
    answer();
  });

  after(async () => {
    await server.stop();
  });

  /** Lets no request be answered until the end of the test. */
  const hang = () => {
    const { promise, resolve } = Promise.withResolvers<'pass'>();
    answer = () => {
      resolve('pass');
    };
    server.intercept = async () => await promise;
  };

  it('stays in force, which is told once, until it can be read again', async () => {
    await source.current();
    hang();
    for (let i = 0; i < 3; i++) {
      observer.pass(30);
      assert.deepEqual(await pullable(source, 'a'), ['a']);
    }
    assert.match(
      observer.problems.join('\n'),
      /^[^\n]* cannot be read; the last valid one stays in force: [^\n]*$/,
    );
    server.reset();
    observer.pass(29);
    await source.current();
    assert.equal(server.requests.length, 0);
    observer.pass(1);
    await source.current();
    assert.match(observer.loaded.at(-1) ?? '', /can be read again$/);
  });

  it('leaves every request unavailable where it was never read, and does not wait for each', async () => {
    hang();
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await assertUnavailable(source, /cannot be read; every request is denied/);
      }),
    );
    assert.equal(observer.problems.length, 1);
    server.reset();
    observer.pass(2);
    assert.deepEqual(await pullable(source, 'a'), ['a']);
  });
});
