import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { secretKinds } from '../../../infra/deploy/secrets.ts';
import {
  derivedParameters,
  planSecrets,
  roundsOf,
  versionIn,
  type SecretsPlan,
  type StoredSecrets,
} from '../../../infra/deploy/secrets.ts';
import type { StoredSecret } from '../../../infra/deploy/secret-store.ts';
import { loginOf } from '../../../infra/deploy/try-registry.ts';
import { readParameters } from '../../../infra/stack/parameters.ts';
import { bcryptVerify } from '../../../lib/access/htpasswd/bcrypt.ts';
import { parseEntries } from '../../../lib/access/htpasswd/entries.ts';
import { publicKeyText, robotTokenKeys } from '../../../lib/access/tokens/keys.ts';
import { readRobotToken } from '../../../lib/access/tokens/private-tokens.ts';

const [old, next, other] = ['o', 'n', 't'].map((letter) => letter.repeat(64)) as [string, string, string];
const dayMs = 24 * 60 * 60_000;

const stored = (value: Record<string, string> | string, ageMs = 0): StoredSecret => ({
  state: 'stored',
  text: typeof value === 'string' ? value : JSON.stringify(value),
  version: '00000000-0000-0000-0000-000000000001',
  changedAt: new Date(Date.now() - ageMs),
});

const none: StoredSecrets = {
  http: { state: 'missing' },
  token: { state: 'missing' },
  storage: { state: 'missing' },
  search: { state: 'missing' },
  events: { state: 'missing' },
  upstreams: { state: 'missing' },
  htpasswd: { state: 'missing' },
};

const complete: StoredSecrets = {
  ...none,
  http: stored({ REGISTRY_HTTP_SECRET: old }),
  token: stored({ REGISTRY_AUTH_POLICY_SECRET: other }),
  htpasswd: stored('alice:$2y$04$1234567890123456789012uvGd0Yq9W4eTqV0kq5m1e0cHk0Vn5bG'),
};

interface Input {
  readonly stored?: StoredSecrets;
  readonly environment?: Record<string, string>;
  readonly isDeployed?: boolean;
  readonly overrides?: Record<string, string>;
}

const plan = async ({ stored = complete, environment = {}, isDeployed = true, overrides = {} }: Input) =>
  await planSecrets({
    parameters: readParameters({ stage: 'dev', region: 'eu-central-1', overrides }),
    stored,
    environment,
    isDeployed,
  });

const valueIn = ({ secrets }: SecretsPlan, kind: (typeof secretKinds)[number], round: number) => {
  const secret = secrets.find((one) => one.kind === kind);
  assert.ok(secret !== undefined, kind);
  return versionIn(secret, round).text;
};

const valuesIn = (planned: SecretsPlan, kind: (typeof secretKinds)[number], round = 0) =>
  JSON.parse(valueIn(planned, kind, round)) as Record<string, string>;

describe('the secrets of a first deployment', () => {
  it('are generated, all of them different each time', async () => {
    const [first, second] = [await plan({ stored: none }), await plan({ stored: none })];
    const all = [first, second].flatMap((one) => [
      valuesIn(one, 'http')['REGISTRY_HTTP_SECRET'],
      valuesIn(one, 'token')['REGISTRY_AUTH_POLICY_SECRET'],
      one.user?.password,
    ]);
    assert.equal(new Set(all).size, 6);
    for (const secret of all) assert.ok(secret !== undefined && secret.length >= 24);
  });

  it('have one user, whose password is there as a bcrypt hash only', async () => {
    const { user, secrets } = await plan({ stored: none });
    assert.ok(user !== undefined);
    const text = versionIn(secrets.find(({ kind }) => kind === 'htpasswd') ?? assert.fail(), 0).text;
    const entry = parseEntries(text, 'it').users.get(user.name);
    assert.ok(
      entry !== undefined &&
        (await bcryptVerify({ password: user.password, hash: entry.hash.replace('$2y$', '$2a$') })),
    );
    assert.ok(!JSON.stringify(secrets).includes(user.password));
  });

  it('are those of the environment where it has them', async () => {
    const environment = {
      REGISTRY_HTTP_SECRET: old,
      REGISTRY_AUTH_POLICY_SECRET: ` ${other} `,
      REGISTRY_AUTH_HTPASSWD_CONTENT: 'alice:$2y$05$abcdefghijklmnopqrstuuvGd0Yq9W4eTqV0kq5m1e0cHk0Vn5bGa',
    };
    const planned = await plan({ stored: none, environment, isDeployed: false });
    assert.deepEqual(planned.faults, []);
    assert.deepEqual(valuesIn(planned, 'http'), { REGISTRY_HTTP_SECRET: old });
    assert.deepEqual(valuesIn(planned, 'token'), { REGISTRY_AUTH_POLICY_SECRET: other });
    assert.equal(valueIn(planned, 'htpasswd', 0), environment.REGISTRY_AUTH_HTPASSWD_CONTENT);
    assert.equal(planned.user, undefined);
  });

  it('are those that the parameters need', async () => {
    const kinds = async (overrides: Record<string, string>) => {
      const environment = {
        REGISTRY_STORAGE_SCS_ACCESSKEY: 'access',
        REGISTRY_STORAGE_SCS_SECRETKEY: 'secret',
        SEARCH_BACKEND_MYSQL: 'user:password@tcp(db:3306)/registry',
      };
      const { secrets, faults } = await plan({ stored: none, environment, overrides });
      assert.deepEqual(faults, []);
      return secrets.map(({ kind }) => kind);
    };
    assert.deepEqual(await kinds({}), ['http', 'token', 'htpasswd']);
    assert.deepEqual(await kinds({ auth: 'none' }), ['http']);
    assert.deepEqual(await kinds({ auth: 'htpasswd', search: 'mysql' }), ['http', 'search', 'htpasswd']);
    assert.deepEqual(await kinds({ auth: 'none', storage: 'scs', scsBucket: 'images', scsRegion: 'cn' }), [
      'http',
      'storage',
    ]);
  });

  describe('sign the events of each webhook', () => {
    const endpoints = (...list: string[]) => ({
      auth: 'none',
      REGISTRY_NOTIFICATIONS_ENDPOINTS: `[${list.join(', ')}]`,
    });
    const queue = '{name: a, url: "arn:aws:sqs:eu-central-1:123456789012:audit"}';
    const webhook = (name: string) => `{name: ${name}, url: "https://ci.example.com/${name}"}`;
    const disabled = webhook('builds').replace('}', ', disabled: true}');
    const setting = (name: string) => `REGISTRY_NOTIFICATIONS_ENDPOINTS_${name}`;
    const header = { [setting('BUILDS_HEADERS_AUTHORIZATION')]: 'Bearer x' };
    const first = async () =>
      await plan({ stored: none, environment: header, overrides: endpoints(queue, webhook('builds')) });
    const after = async (overrides: Record<string, string>, environment: Record<string, string> = {}) =>
      await plan({
        stored: { ...none, events: stored(valuesIn(await first(), 'events')) },
        environment,
        overrides,
      });

    it('with a generated secret, beside the headers that the environment gives', async () => {
      const planned = await first();
      assert.deepEqual(planned.faults, []);
      const { [setting('BUILDS_SECRET')]: secret = '', ...others } = valuesIn(planned, 'events');
      assert.match(secret, /^[0-9a-f]{64}$/);
      assert.deepEqual(others, header);
    });

    it('with the same secret in a list of another order, or longer', async () => {
      const before = { ...none, events: stored(valuesIn(await first(), 'events')) };
      const same = await plan({ stored: before, overrides: endpoints(queue, webhook('builds')) });
      assert.equal(same.secrets.find(({ kind }) => kind === 'events')?.note, undefined);
      const longer = await plan({
        stored: before,
        overrides: endpoints(webhook('scans'), webhook('builds'), queue),
      });
      const { [setting('SCANS_SECRET')]: added, ...others } = valuesIn(longer, 'events');
      assert.ok(added !== undefined);
      assert.deepEqual(others, valuesIn(same, 'events'));
    });

    it('with two, while one is changed', async () => {
      const both = JSON.stringify([next, old]);
      const rotated = await after(endpoints(webhook('builds')), { [setting('BUILDS_SECRET')]: both });
      assert.deepEqual(valuesIn(rotated, 'events'), { ...header, [setting('BUILDS_SECRET')]: both });
    });

    it('but not those of an endpoint that is disabled, which keeps its secret, or gone', async () => {
      const kept = valuesIn(await after(endpoints(disabled, webhook('scans'))), 'events');
      assert.deepEqual(Object.keys(kept).sort(), [
        setting('BUILDS_HEADERS_AUTHORIZATION'),
        setting('BUILDS_SECRET'),
        setting('SCANS_SECRET'),
      ]);
      const left = valuesIn(await after(endpoints(webhook('scans'))), 'events');
      assert.deepEqual(Object.keys(left), [setting('SCANS_SECRET')]);
      assert.ok(!(await after(endpoints(queue))).secrets.some(({ kind }) => kind === 'events'));
      assert.ok(!(await after(endpoints(disabled))).secrets.some(({ kind }) => kind === 'events'));
    });

    it('with no secret that is wrong, or of a name that no webhook has', async () => {
      const overrides = endpoints(queue, webhook('builds'));
      const short = await after(overrides, { [setting('BUILDS_SECRET')]: 'short' });
      assert.match(
        short.faults.join(),
        /^REGISTRY_NOTIFICATIONS_ENDPOINTS.*: entry 2: secret must have 32 characters/,
      );
      const stray = await after(overrides, { [setting('1_SECRET')]: old });
      assert.deepEqual(stray.faults, [
        `${setting('1_SECRET')}: no webhook has that name; here they are ${setting('BUILDS_SECRET')} and …_HEADERS_…`,
      ]);
    });
  });

  it('log in to upstreams with users, and are kept by the prefix', async () => {
    const entry = (prefix: string, more = '') =>
      `{prefix: ${prefix}/**, url: "https://${prefix}.example.com"${more}}`;
    const upstreams = (...entries: string[]) => ({
      auth: 'none',
      REGISTRY_PROXY_UPSTREAMS: `[${entries.join(', ')}]`,
    });
    const [hub, quay] = [entry('docker-hub', ', username: a'), entry('quay', ', username: b')];
    const setting = 'REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PASSWORD';
    const overrides = upstreams(entry('ghcr'), hub);
    const missing = await plan({ stored: none, overrides });
    assert.match(missing.faults.join(), new RegExp(`^${setting}: missing; set it in the environment`));
    const first = await plan({ stored: none, environment: { [setting]: 'p' }, overrides });
    assert.deepEqual(first.faults, []);
    assert.deepEqual(valuesIn(first, 'upstreams'), { [setting]: 'p' });

    const before = { ...none, upstreams: stored({ [setting]: 'p' }) };
    const other = 'REGISTRY_PROXY_UPSTREAMS_QUAY_PASSWORD';
    const more = await plan({
      stored: before,
      environment: { [other]: 'q' },
      overrides: upstreams(quay, hub),
    });
    assert.deepEqual(valuesIn(more, 'upstreams'), { [other]: 'q', [setting]: 'p' });
    const fewer = await plan({ stored: before, overrides: upstreams(entry('docker-hub')) });
    assert.ok(!fewer.secrets.some(({ kind }) => kind === 'upstreams'));
    const stray = await plan({ stored: before, environment: { [other]: 'q' }, overrides });
    assert.match(
      stray.faults.join(),
      new RegExp(`^${other}: no upstream with a username has that prefix; here they are ${setting}`),
    );
    const whole = {
      auth: 'none',
      REGISTRY_PROXY_REMOTEURL: 'https://a.example.com',
      REGISTRY_PROXY_USERNAME: 'a',
    };
    const only = await plan({
      stored: none,
      environment: { REGISTRY_PROXY_PASSWORD: 'p' },
      overrides: whole,
    });
    assert.deepEqual(valuesIn(only, 'upstreams'), { REGISTRY_PROXY_PASSWORD: 'p' });
    assert.deepEqual(only.faults, []);
  });

  it('are refused with all faults, and without their values', async () => {
    const environment = {
      REGISTRY_HTTP_SECRET: 'short',
      REGISTRY_AUTH_POLICY_SECRET: 'short',
      REGISTRY_AUTH_HTPASSWD_CONTENT: 'alice:plain-password',
    };
    const overrides = { storage: 'scs', scsBucket: 'images', scsRegion: 'cn', search: 'mysql' };
    const { faults } = await plan({ stored: none, environment, overrides });
    assert.deepEqual(
      faults.map((fault) => fault.split(/[: ]/)[0]),
      [
        'REGISTRY_HTTP_SECRET',
        'REGISTRY_AUTH_POLICY_SECRET',
        'REGISTRY_STORAGE_SCS_ACCESSKEY',
        'REGISTRY_STORAGE_SCS_SECRETKEY',
        'SEARCH_BACKEND_MYSQL',
        'REGISTRY_AUTH_HTPASSWD_CONTENT',
        'REGISTRY_AUTH_POLICY_SECRET',
      ],
    );
    assert.ok(!faults.join().includes('plain-password'));
  });
});

describe('the secrets of a further deployment', () => {
  it('stay as they are', async () => {
    const planned = await plan({});
    assert.deepEqual(
      planned.secrets.map(({ note }) => note),
      [undefined, undefined, undefined],
    );
    assert.equal(planned.user, undefined);
    assert.equal(roundsOf(planned), 1);
    assert.deepEqual(derivedParameters(planned, 0), derivedParameters(await plan({}), 0));
  });

  it('change in two rounds, so that all instances know a secret before one signs with it', async () => {
    const planned = await plan({
      environment: { REGISTRY_HTTP_SECRET: next, REGISTRY_AUTH_POLICY_SECRET: old },
    });
    assert.equal(roundsOf(planned), 2);
    assert.deepEqual(valuesIn(planned, 'http', 0), {
      REGISTRY_HTTP_SECRET: old,
      REGISTRY_HTTP_SECRET_PREVIOUS: next,
    });
    assert.deepEqual(valuesIn(planned, 'http', 1), {
      REGISTRY_HTTP_SECRET: next,
      REGISTRY_HTTP_SECRET_PREVIOUS: old,
    });
    const keys = [0, 1].map((round) => derivedParameters(planned, round)['publicKeys']);
    assert.deepEqual(keys, [
      `${publicKeyText(other)},${publicKeyText(old)}`,
      `${publicKeyText(old)},${publicKeyText(other)}`,
    ]);
    const revisions = [0, 1].map((round) => derivedParameters(planned, round)['secretsRevision']);
    revisions.push(derivedParameters(await plan({}), 0)['secretsRevision']);
    assert.equal(new Set(revisions).size, 3);
  });

  it('go on with a change that was interrupted between its rounds', async () => {
    const between = stored({ REGISTRY_HTTP_SECRET: old, REGISTRY_HTTP_SECRET_PREVIOUS: next });
    const planned = await plan({
      stored: { ...complete, http: between },
      environment: { REGISTRY_HTTP_SECRET: next },
    });
    const http = planned.secrets[0];
    assert.ok(http !== undefined);
    assert.equal(versionIn(http, 0).version, http.storedVersion);
    assert.deepEqual(valuesIn(planned, 'http', 1), {
      REGISTRY_HTTP_SECRET: next,
      REGISTRY_HTTP_SECRET_PREVIOUS: old,
    });
  });

  it('change at once where no instance runs', async () => {
    const planned = await plan({ environment: { REGISTRY_HTTP_SECRET: next }, isDeployed: false });
    assert.equal(roundsOf(planned), 1);
    assert.deepEqual(valuesIn(planned, 'http'), {
      REGISTRY_HTTP_SECRET: next,
      REGISTRY_HTTP_SECRET_PREVIOUS: old,
    });
  });

  it('drop the earlier secret of URLs after a day, and that of tokens never', async () => {
    const signing = (ageMs: number) => ({
      ...complete,
      http: stored({ REGISTRY_HTTP_SECRET: next, REGISTRY_HTTP_SECRET_PREVIOUS: old }, ageMs),
      token: stored({ REGISTRY_AUTH_POLICY_SECRET: other, REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: old }, ageMs),
    });
    const young = await plan({ stored: signing(dayMs - 60_000) });
    assert.equal(valuesIn(young, 'http')['REGISTRY_HTTP_SECRET_PREVIOUS'], old);
    const aged = await plan({ stored: signing(dayMs + 60_000) });
    assert.deepEqual(valuesIn(aged, 'http'), { REGISTRY_HTTP_SECRET: next });
    assert.equal(valuesIn(aged, 'token')['REGISTRY_AUTH_POLICY_SECRET_PREVIOUS'], old);
  });

  it('keep the keys of a store, and take those of the environment one by one', async () => {
    const overrides = { storage: 'scs', scsBucket: 'images', scsRegion: 'cn' };
    const keys = { REGISTRY_STORAGE_SCS_ACCESSKEY: 'a', REGISTRY_STORAGE_SCS_SECRETKEY: 'b' };
    const before = { ...complete, storage: stored(keys) };
    assert.deepEqual(valuesIn(await plan({ stored: before, overrides }), 'storage'), keys);
    const environment = { REGISTRY_STORAGE_SCS_SECRETKEY: 'c' };
    const after = await plan({ stored: before, overrides, environment });
    assert.deepEqual(valuesIn(after, 'storage'), { ...keys, ...environment });
    assert.deepEqual(after.faults, []);
  });

  it('do not ask for what a secret has that is being restored', async () => {
    const overrides = { search: 'mysql' };
    const { faults } = await plan({ stored: { ...complete, search: { state: 'deleted' } }, overrides });
    assert.deepEqual(faults, []);
  });
});

it('the smoke test logs in as a robot that may use its own repository for some minutes', async () => {
  const parameters = readParameters({ stage: 'dev', region: 'eu-central-1' });
  const secrets = await plan({});
  const { name, password } = (await loginOf({ secrets, target: { parameters } })) ?? assert.fail();
  const read = await readRobotToken(robotTokenKeys([other]), 'stowage', password);
  assert.equal(name, read?.robot.name);
  assert.deepEqual(
    read?.robot.grants?.map(({ repositories }) => repositories),
    [['stowage/smoke']],
  );
  assert.ok(read.expires < Date.now() / 1000 + 3600);
});
