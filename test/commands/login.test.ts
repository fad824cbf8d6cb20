import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  lstatSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { service, startCiRegistry, type CiRegistry } from '../access/oidc/ci-registry.ts';
import { runStowage } from '../infra/run-node.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { json } from '../servers/issuer.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

describe('stowage login', () => {
  let registry: CiRegistry;
  let folder: Folder;
  /** The environment of a job that has no token yet. */
  let env: Record<string, string>;

  before(async () => {
    registry = await startCiRegistry();
  });

  after(async () => {
    await registry.stop();
  });

  beforeEach(async () => {
    folder = await temporaryFolder('login');
    env = { HOME: folder.path };
    registry.requests();
  });

  afterEach(() => {
    folder.remove();
  });

  const place = (...names: string[]) => join(folder.path, ...names);
  const login = async (more: Record<string, string>, ...args: string[]) =>
    await runStowage(['login', registry.address, '--oidc', ...args], { ...env, ...more });
  const configAt = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

  /** What is stored for the registry, as user and password. */
  const storedAt = (path: string) => {
    const { auths } = configAt(path) as { auths: Record<string, { auth: string }> };
    return Buffer.from(auths[registry.address]?.auth ?? '', 'base64')
      .toString()
      .split(/:(.*)/s);
  };

  /** Whether a password is accepted. */
  const opens = async (password: string) => {
    const authorization = `Basic ${Buffer.from(`oidc:${password}`).toString('base64')}`;
    const url = `http://${registry.address}/token?service=${service}&scope=repository:team/app:push`;
    const reply = await fetch(url, { headers: { authorization } });
    return ((await reply.json()) as { scope?: string }).scope === 'repository:team/app:push';
  };

  it('exchanges the token of GitLab for a password that ends with the lifetime, and stores it', async () => {
    const token = await registry.jobToken();
    const { code, output, errors } = await login({ STOWAGE_ID_TOKEN: token });
    assert.deepEqual([code, errors], [0, '']);
    const file = place('.docker', 'config.json');
    const [, end = ''] =
      /^Logged in to .+ as oidc\. The password is in .+ and is void from (.+)\.\n$/.exec(output) ?? [];
    const minutes = (Date.parse(end) - Date.now()) / 60_000;
    assert.ok(minutes > 118 && minutes <= 120, output);
    const [user, password = ''] = storedAt(file);
    assert.equal(user, 'oidc');
    assert.ok(await opens(password));
    assert.ok(!output.includes(password) && !output.includes(token));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(file)).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(dirname(file)), ['config.json']);
    assert.deepEqual(registry.requests(), ['the job token, by POST', 'our token as password, by GET']);
  });

  it('takes the token of Kubernetes from a file', async () => {
    writeFileSync(place('token'), `${await registry.jobToken()}\n`);
    const { code } = await login({ DOCKER_CONFIG: place('docker') }, '--token-file', place('token'));
    assert.equal(code, 0);
    assert.ok(await opens(storedAt(place('docker', 'config.json'))[1] ?? ''));
  });

  it('prints the password, and stores nothing, with --print', async () => {
    const { code, output, errors } = await login({ STOWAGE_ID_TOKEN: await registry.jobToken() }, '--print');
    assert.equal(code, 0);
    assert.match(output, /^stowage_refresh_\S+\n$/);
    assert.match(errors, /^The user name is oidc; the password is void from 20\S+Z\.\n$/);
    assert.ok(await opens(output.trim()));
    assert.deepEqual(readdirSync(folder.path), []);
  });

  it('keeps all else in the file, replaces an older login, and follows a link', async () => {
    const file = place('real.json');
    const other = { auth: 'b3RoZXI6c2VjcmV0' };
    const before = {
      auths: { 'other.example.com': other, [registry.address]: { identitytoken: 'old', auth: 'old' } },
      HttpHeaders: { 'User-Agent': 'x' },
      credHelpers: { 'third.example.com': 'none' },
    };
    writeFileSync(file, JSON.stringify(before), { mode: 0o644 });
    symlinkSync(file, place('link.json'));
    const token = await registry.jobToken();
    assert.equal((await login({ STOWAGE_ID_TOKEN: token, REGISTRY_AUTH_FILE: place('link.json') })).code, 0);
    const { auths, ...rest } = configAt(file) as { auths: Record<string, object> };
    assert.deepEqual(rest, { HttpHeaders: before.HttpHeaders, credHelpers: before.credHelpers });
    assert.deepEqual(auths['other.example.com'], other);
    assert.deepEqual(Object.keys(auths[registry.address] ?? {}), ['auth']);
    assert.ok(lstatSync(place('link.json')).isSymbolicLink());
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  /** A helper that keeps what it is given in a file, or fails. */
  const installHelper = (name: string, script: string) => {
    mkdirSync(place('bin'), { recursive: true });
    writeFileSync(place('bin', `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    chmodSync(place('bin', `docker-credential-${name}`), 0o755);
    return { PATH: `${place('bin')}:${process.env['PATH'] ?? ''}`, KEPT: place('kept') };
  };

  for (const [what, config] of [
    ['for all registries', () => ({ credsStore: 'test' })],
    ['for this registry', () => ({ credsStore: 'none', credHelpers: { [registry.address]: 'test' } })],
  ] as const)
    it(`gives the password to the credential helper ${what}`, async () => {
      const helper = installHelper('test', '[ "$1" = store ] && cat >"$KEPT"');
      mkdirSync(place('.docker'));
      writeFileSync(place('.docker', 'config.json'), JSON.stringify(config()));
      const { code, output } = await login({ ...helper, STOWAGE_ID_TOKEN: await registry.jobToken() });
      assert.equal(code, 0);
      assert.match(output, /The password is in the credential helper test and is void from/);
      const { Secret, ...kept } = configAt(place('kept'));
      assert.deepEqual(kept, { ServerURL: registry.address, Username: 'oidc' });
      assert.ok(await opens(String(Secret)));
      assert.deepEqual(configAt(place('.docker', 'config.json')), {
        ...config(),
        auths: { [registry.address]: {} },
      });
    });

  it('says what the credential helper says, without the password, when that fails', async () => {
    const helper = installHelper('test', 'echo "the key chain is locked:"; cat; exit 1');
    const config = '{"credsStore":"test"}';
    mkdirSync(place('.docker'));
    writeFileSync(place('.docker', 'config.json'), config);
    const { code, output, errors } = await login({ ...helper, STOWAGE_ID_TOKEN: await registry.jobToken() });
    assert.deepEqual([code, output], [1, '']);
    assert.match(errors, /docker-credential-test failed: the key chain is locked:/);
    assert.doesNotMatch(errors, /stowage_refresh_/);
    assert.equal(readFileSync(place('.docker', 'config.json'), 'utf8'), config);
  });

  for (const [what, config, message] of [
    ['a helper that is not installed', { credsStore: 'absent' }, /docker-credential-absent is not installed/],
    ['a helper with a path', { credsStore: '../bin/x' }, /is no name of a credential helper/],
    ['a list of logins', { auths: [] }, /config\.json is no file of logins/],
    ['broken JSON', '{"auths": {"a": {"auth": "c2VjcmV0"', /config\.json is no file of logins/],
  ] as const)
    it(`changes nothing in a file with ${what}`, async () => {
      const text = typeof config === 'string' ? config : JSON.stringify(config);
      mkdirSync(place('.docker'));
      writeFileSync(place('.docker', 'config.json'), text);
      const { code, output, errors } = await login({ STOWAGE_ID_TOKEN: await registry.jobToken() });
      assert.deepEqual([code, output], [1, '']);
      assert.match(errors, message);
      assert.doesNotMatch(errors, /c2VjcmV0|stowage_refresh_/);
      assert.equal(readFileSync(place('.docker', 'config.json'), 'utf8'), text);
      assert.deepEqual(readdirSync(place('.docker')), ['config.json']);
    });

  describe('in GitHub Actions', () => {
    let github: Server;
    let asked: { url: string; authorization: string | undefined }[];
    let status = 200;

    before(async () => {
      github = createServer((request, response) => {
        asked.push({ url: request.url ?? '', authorization: request.headers.authorization });
        response.statusCode = status;
        void registry.jobToken().then((value) => {
          json({ count: 1, value })(request, response);
        });
      });
      github.listen(0, '127.0.0.1');
      await once(github, 'listening');
    });

    beforeEach(() => {
      asked = [];
      status = 200;
    });

    after(() => {
      github.close();
    });

    const job = () => ({
      GITHUB_ACTIONS: 'true',
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(github.address() as AddressInfo).port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'secret-of-the-runner',
    });

    it('asks for a token for the registry, or for the audience that is given', async () => {
      assert.equal((await login(job())).code, 0);
      assert.equal((await login(job(), '--audience', 'https://other.example.com/?a=b&c')).code, 0);
      assert.deepEqual(
        asked.map(({ url }) => [...new URL(url, 'http://x').searchParams]),
        [service, 'https://other.example.com/?a=b&c'].map((audience) => [
          ['api-version', '2.0'],
          ['audience', audience],
        ]),
      );
      assert.deepEqual(
        new Set(asked.map(({ authorization }) => authorization)),
        new Set(['Bearer secret-of-the-runner']),
      );
    });

    it('says that the job lacks the permission', async () => {
      const { code, errors } = await login({ GITHUB_ACTIONS: 'true' });
      assert.equal(code, 1);
      assert.match(errors, /give it permissions: id-token: write/);
    });

    it('says that GitHub refuses', async () => {
      status = 403;
      const { code, errors } = await login(job());
      assert.equal(code, 1);
      assert.match(errors, /GitHub Actions made no token: its status is 403/);
      assert.doesNotMatch(errors, /secret-of-the-runner/);
    });

    it('sends the secret of the runner to no other machine without https', async () => {
      const { code, errors } = await login({
        ...job(),
        ACTIONS_ID_TOKEN_REQUEST_URL: 'http://198.51.100.1/token',
      });
      assert.equal(code, 1);
      assert.match(errors, /ACTIONS_ID_TOKEN_REQUEST_URL is no https URL/);
    });
  });

  it('says why the registry refuses a token, and shows none of it', async () => {
    const token = await registry.issuer.token({
      aud: 'another',
      repository_id: '123456',
      ref: 'refs/heads/main',
    });
    const { code, output, errors } = await login({ STOWAGE_ID_TOKEN: token });
    assert.deepEqual([code, output], [1, '']);
    assert.match(errors, /refused the login with status 401: the token of this job is for another audience/);
    for (const part of token.split('.')) assert.ok(!errors.includes(part));
    assert.deepEqual(readdirSync(folder.path), []);
  });

  it('sends nothing that is no token', async () => {
    writeFileSync(place('key'), '-----BEGIN PRIVATE KEY-----\nabc\n');
    const { code, errors } = await login({}, '--token-file', place('key'));
    assert.equal(code, 1);
    assert.match(errors, /the file .+key has no OIDC token, which is a JWT/);
    assert.deepEqual(registry.requests(), []);
  });

  it('says where a token may come from when there is none', async () => {
    const { code, errors } = await login({});
    assert.equal(code, 1);
    assert.match(errors, /no token of a CI job; name a file by --token-file, or set STOWAGE_ID_TOKEN/);
  });

  for (const [what, args, message] of [
    ['no host', ['--oidc'], 'the host of the registry is missing'],
    [
      'a URL',
      ['https://registry.example.com', '--oidc'],
      '"https://registry.example.com" is not the host of a registry',
    ],
    [
      'a path',
      ['registry.example.com/team', '--oidc'],
      '"registry.example.com/team" is not the host of a registry',
    ],
    ['another user', ['user@registry.example.com', '--oidc'], '"user@registry.example.com" is not the host'],
    ['two hosts', ['a.example.com', 'b.example.com', '--oidc'], '"b.example.com" is one argument too many'],
    ['no --oidc', ['registry.example.com'], 'stowage login needs --oidc; with a password, use docker login'],
    [
      'an unknown option',
      ['registry.example.com', '--odic'],
      '"--odic" is not a known option; did you mean --oidc?',
    ],
    [
      'an audience for a file',
      ['a.example.com', '--oidc', '--audience=x', '--token-file=y'],
      '--audience is for GitHub',
    ],
  ] as const)
    it(`refuses ${what} with exit code 2, and prints its usage`, async () => {
      const { code, output, errors } = await runStowage(['login', ...args]);
      assert.ok(errors.startsWith(message), errors);
      assert.match(errors, /\n\nUsage: stowage login HOST/);
      assert.deepEqual([code, output], [2, '']);
    });

  describe('with a server that is no such registry', () => {
    let server: Server;
    let answer: (path: string) => [status: number, headers?: Record<string, string>, body?: string];
    let asked: string[];

    before(async () => {
      server = createServer((request, response) => {
        asked.push(`${request.method} ${request.url}`);
        const [status, headers = {}, body = ''] = answer(request.url ?? '');
        response.writeHead(status, headers).end(body);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    });

    beforeEach(() => {
      asked = [];
    });

    after(() => {
      server.close();
    });

    const host = () => `localhost:${(server.address() as AddressInfo).port}`;
    const here = () => `http://${host()}/token`;
    const challenge = (realm: string) => ({ 'www-authenticate': `Bearer realm="${realm}",service="a"` });

    for (const [what, answers, message] of [
      ['is open', () => [200], /asks for no login/],
      ['is none', () => [404], /does not answer as a registry: the status of \/v2\/ is 404/],
      [
        'takes passwords only',
        () => [401, { 'www-authenticate': 'Basic realm="x"' }],
        /no token service: jobs can log in where REGISTRY_AUTH=policy/,
      ],
      [
        'redirects',
        () => [302, { location: 'https://registry.example.com/v2/' }],
        /did not answer: .*redirect/,
      ],
      [
        'has its token service on http',
        () => [401, challenge('http://198.51.100.1/token')],
        /token service of .+ is not on https, so no secret can be sent to it/,
      ],
      ['has its token service nowhere', () => [401, challenge('/token')], /is not on https/],
      [
        'redirects the token',
        (path: string) =>
          path === '/v2/' ? [401, challenge(here())] : [307, { location: 'https://registry.example.com/' }],
        /the token service did not answer: .*redirect/,
      ],
      [
        'makes access tokens only',
        (path: string) => (path === '/v2/' ? [401, challenge(here())] : [200, {}, '{"token":"x"}']),
        /gave no refresh token: it takes no logins of CI jobs/,
      ],
      [
        'sends 10 MB',
        (path: string) => (path === '/v2/' ? [401, challenge(here())] : [200, {}, 'x'.repeat(10_000_000)]),
        /more than 262144 bytes/,
      ],
      [
        'sends control characters',
        (path: string) =>
          path === '/v2/'
            ? [401, challenge(here())]
            : [401, {}, JSON.stringify({ errors: [{ message: `a\u001b[2J${'b'.repeat(1000)}` }] })],
        /status 401: a \[2Jb{295}\.$/m,
      ],
    ] as const)
      it(`says so, and stores nothing, where it ${what}`, async () => {
        answer = answers as typeof answer;
        const token = await registry.jobToken();
        const { code, output, errors } = await runStowage(['login', host(), '--oidc'], {
          ...env,
          STOWAGE_ID_TOKEN: token,
        });
        assert.deepEqual([code, output], [1, '']);
        assert.match(errors, message);
        assert.ok(!errors.includes(token));
        assert.deepEqual(readdirSync(folder.path), []);
        assert.ok(asked.length >= 1);
      });

    it('takes the password of one whose tokens do not say when they end', async () => {
      answer = (path) =>
        path === '/v2/' ? [401, challenge(here())] : [200, {}, '{"refresh_token":"opaque"}'];
      const { code, output, errors } = await runStowage(['login', host(), '--oidc', '--print'], {
        ...env,
        STOWAGE_ID_TOKEN: await registry.jobToken(),
      });
      assert.deepEqual([code, output], [0, 'opaque\n']);
      assert.match(errors, /does not say how long it is valid/);
    });
  });

  it('does what the curl of docs/commands.md does', requires('curl'), async () => {
    const docs = readFileSync(new URL('../../docs/commands.md', import.meta.url), 'utf8');
    const [, line = ''] = /^(printf %s "\$STOWAGE_ID_TOKEN" \| curl [^|]+?)\s*\|/ms.exec(docs) ?? [];
    assert.ok(line, 'docs/commands.md has a curl');
    const script = line.replaceAll(`https://${service}`, `http://${registry.address}`);
    const reply = await command('sh', ['-c', script], {
      env: cleanEnvironment({ STOWAGE_ID_TOKEN: await registry.jobToken() }),
    });
    const { refresh_token: password } = JSON.parse(reply.text) as { refresh_token: string };
    assert.ok(await opens(password));
  });
});
