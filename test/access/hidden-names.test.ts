import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { EncryptedNames } from '../../lib/registry/encrypted-names.ts';
import { pageOfMatches } from '../../lib/search/matches.ts';
import { Search } from '../../lib/search/search.ts';
import { send, type Reply } from '../functions/client.ts';
import { bearer } from './policy-registry.ts';
import { startPolicyRegistry, type PolicyRegistry } from './policy-server.ts';

const policy = `
rules:
  - { who: alice, repositories: [shown/**, team/mine], allow: [pull, list] }
  - { who: alice, repositories: half/**, allow: list }
  - { who: alice, repositories: other/**, allow: pull }
  - { who: admin, repositories: '**', allow: '*' }
`;

/** A list of names in memory that counts how many of them are looked at. */
class CountingList {
  readonly names: readonly string[];
  examined = 0;
  constructor(names: readonly string[]) {
    this.names = [...names].sort();
  }

  readonly search = new Search(
    async () =>
      await Promise.resolve({
        list: async ({ n, last }) => {
          const after = this.names.filter((name) => name > last);
          const names = after.slice(0, n);
          this.examined += names.length;
          return await Promise.resolve({ names, more: n > 0 && after.length > n });
        },
        search: async (term, page) => {
          const found = pageOfMatches(this.names, term, page);
          this.examined += found.names.length;
          return await Promise.resolve(found);
        },
        record: async () => {
          await Promise.resolve();
        },
        forget: async () => {
          await Promise.resolve();
        },
        reindex: async () => {
          await Promise.resolve(undefined);
        },
        close: async () => {
          await Promise.resolve();
        },
      }),
    { catalog: undefined as never },
  );
}

const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, '0')}`);

const shown = [...numbered('shown/a', 4), ...numbered('shown/m', 30), 'shown/z', 'team/mine'];
const hidden = [
  ...numbered('half/app', 20),
  ...numbered('other/secret', 20),
  ...numbered('shown', 5),
  'shown-x',
  ...numbered('team/m', 5),
  ...numbered('zz/secret', 20),
];

interface Listed {
  readonly names: readonly string[];
  readonly link: string | undefined;
}

async function start(list: CountingList): Promise<PolicyRegistry> {
  return await startPolicyRegistry(policy, ['alice', 'admin'], {
    replace: () => ({ search: list.search }),
  });
}

async function get(registry: PolicyRegistry, path: string, user: string | undefined): Promise<Reply> {
  const headers = user === undefined ? {} : await bearer(registry.url, user, 'registry:catalog:*');
  return await send(registry.url, { method: 'GET', path, headers });
}

async function list(registry: PolicyRegistry, path: string, user = 'alice'): Promise<Listed> {
  const reply = await get(registry, path, user);
  assert.equal(reply.status, 200, reply.body.toString());
  const { repositories } = JSON.parse(reply.body.toString()) as { repositories: string[] };
  const [, link] = /^<([^>]+)>; rel="next"$/.exec(String(reply.headers['link'] ?? '')) ?? [];
  return { names: repositories, link };
}

describe('names that a caller may not see, among few', () => {
  let [full, without]: PolicyRegistry[] = [];
  before(async () => {
    [full, without] = [
      await start(new CountingList([...shown, ...hidden])),
      await start(new CountingList(shown)),
    ];
  });
  after(async () => {
    await full?.stop();
    await without?.stop();
  });

  const registries = (): [PolicyRegistry, PolicyRegistry] => {
    assert.ok(full && without);
    return [full, without];
  };

  it('are in the catalog of those who may see them', async () => {
    const { names } = await list(registries()[0], '/v2/_catalog?n=1000', 'admin');
    assert.deepEqual(names, [...shown, ...hidden].sort());
  });

  it('change nothing in any page of the catalog', async () => {
    const [first, second] = registries();
    for (const n of [0, 1, 2, 3, 4, 5, 34, 35, 36, 37, 100, 1000])
      for (const last of [
        '',
        'half/app0005',
        'shown',
        'shown/a0003',
        'shown/m0028',
        'shown/z',
        'team/mine',
        'zz/zz',
      ]) {
        const path = `/v2/_catalog?n=${n}&last=${last}`;
        const [some, others] = [await list(first, path), await list(second, path)];
        assert.deepEqual(some, others, path);
        assert.deepEqual(
          some.names,
          shown
            .filter((name) => name > last)
            .sort()
            .slice(0, n),
          path,
        );
      }
  });

  it('change nothing in any search', async () => {
    const [first, second] = registries();
    for (const term of ['', 'app', 'secret', 'shown', 'm0', 'mine', 'zz'])
      for (const page of ['n=1&page=1', 'n=1&page=2', 'n=25&page=2', 'n=100', 'n=0', 'n=100&page=9']) {
        const path = `/v1/search?q=${term}&${page}`;
        const [some, others] = [await get(first, path, 'alice'), await get(second, path, 'alice')];
        assert.equal(some.status, 200);
        assert.equal(some.body.toString(), others.body.toString(), path);
      }
  });

  it('are neither in the catalog nor in searches of those who have not logged in', async () => {
    for (const path of ['/v2/_catalog', '/v1/search?q=secret'])
      assert.equal((await get(registries()[0], path, undefined)).status, 401);
  });
});

describe('names that a caller may not see, among thousands', () => {
  const mine = ['shown/first', 'shown/last', 'team/mine'];
  const all = new CountingList([...mine, ...numbered('secret/', 5000), ...numbered('shown', 3000)]);
  let registry: PolicyRegistry;
  before(async () => {
    registry = await start(all);
  });
  after(async () => {
    await registry.stop();
  });

  for (const n of [1, 2, 100, 1000])
    it(`are looked at 2,000 at a time, in pages of ${n}, and not one of them is told`, async () => {
      const found: string[] = [];
      let pages = 0;
      for (let path: string | undefined = `/v2/_catalog?n=${n}`; path !== undefined; pages++) {
        all.examined = 0;
        const page: Listed = await list(registry, path);
        assert.ok(all.examined <= 2000, `${all.examined} names were looked at`);
        found.push(...page.names);
        path = page.link;
        const position =
          path === undefined ? '' : (new URL(path, registry.url).searchParams.get('last') ?? '');
        assert.ok(position === '' || mine.includes(position), `the Link tells ${position}`);
        assert.ok(!decodeURIComponent(path ?? '').includes('secret'));
      }
      assert.deepEqual(found, mine);
      assert.ok(pages >= 5 && pages <= 9, `${pages} pages`);
    });

  it('are 2,000 at most in a search', async () => {
    all.examined = 0;
    const reply = await get(registry, '/v1/search?q=s&n=100', 'alice');
    assert.equal(reply.status, 200);
    assert.ok(all.examined <= 2000, `${all.examined} names were looked at`);
    assert.doesNotMatch(reply.body.toString(), /secret|shown\d/);
  });

  it('are told by no cursor that was altered or made by another', async () => {
    const { link = '' } = await list(registry, '/v2/_catalog?n=100');
    const cursor = new URL(link, registry.url).searchParams.get('cursor') ?? '';
    const bytes = Buffer.from(cursor, 'base64url');
    assert.ok(!bytes.toString('latin1').includes('secret'));
    const altered = [0, 12, bytes.length - 1].map((at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy.toString('base64url');
    });
    const name = 'secret/0001' as RepositoryName;
    const secret = registry.settings['REGISTRY_HTTP_SECRET'] ?? '';
    const forged = [
      new EncryptedNames(['another secret of a test, as long'], 'stowage catalog cursor').encrypt(name) ?? '',
      new EncryptedNames([secret], 'stowage origin of a blob').encrypt(name) ?? '',
    ];
    for (const one of [...altered, ...forged, cursor.slice(0, -3), '', 'x', 'secret/0001']) {
      const path = `/v2/_catalog?${new URLSearchParams({ cursor: one }).toString()}`;
      const reply = await get(registry, path, 'alice');
      assert.equal(reply.status, 400, one);
      assert.match(reply.body.toString(), /cursor is not one of this registry/);
    }
    assert.deepEqual((await list(registry, `/v2/_catalog?cursor=${cursor}&n=1`)).names.length, 0);
  });

  it('have a cursor that differs each time, so that equal ones tell nothing', async () => {
    const [one, two] = [
      await list(registry, '/v2/_catalog?n=100'),
      await list(registry, '/v2/_catalog?n=100'),
    ];
    assert.ok(one.link?.includes('cursor='));
    assert.notEqual(one.link, two.link);
  });
});
