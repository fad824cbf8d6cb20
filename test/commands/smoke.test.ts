import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { httpsCheck, gatewayChecks } from '../../lib/commands/smoke/gateway-checks.ts';
import { imageChecks } from '../../lib/commands/smoke/image-checks.ts';
import { runChecks, type Result } from '../../lib/commands/smoke/run.ts';
import { Session } from '../../lib/commands/smoke/session.ts';
import { askToken, passwordOf } from '../access/policy-registry.ts';
import { runStowage } from '../infra/run-node.ts';
import { startEdgeRegistry, type EdgeRegistry, type Fault } from '../servers/edge-registry.ts';
import { cleanEnvironment } from '../servers/process.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { serve } from '../servers/stowage.ts';

const policy = `
rules:
  - { who: alice, repositories: '**', allow: [pull, push, delete, list] }
  - { who: bob, repositories: '**', allow: [pull, push] }
`;

describe('stowage smoke', () => {
  let registry: EdgeRegistry;
  const env = { STOWAGE_PASSWORD: passwordOf('alice') };

  before(async () => {
    registry = await startEdgeRegistry(policy, ['alice', 'bob']);
  });

  after(async () => {
    await registry.stop();
  });

  afterEach(() => {
    registry.proxy.fault = {};
    registry.hasDataPlane = true;
    delete registry.gateway.challenges;
    delete registry.gateway.headLength;
  });

  it('passes functions with a data plane behind a gateway, and removes what it pushed', async () => {
    const args = ['smoke', registry.url, '--user', 'alice'];
    const { code, output, errors } = await runStowage(args, env);
    assert.deepEqual([code, errors], [0, ''], output);
    assert.match(output, /^Checking http:\/\/127\.0\.0\.1:\d+, in the repository stowage\/smoke\n/);
    assert.match(output, /\nok {6}login \(as alice\)\n/);
    assert.match(output, /\nok {6}push a layer of 12 MiB as docker/);
    assert.match(output, /\n22 checks passed\.\nLeft in the registry: layers in stowage\/smoke, [^\n]+\.\n$/);
    const { body } = await askToken(registry.url, 'alice', ['repository:stowage/smoke:pull']);
    const { token } = JSON.parse(body.toString()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const tags = await fetch(`${registry.url}/v2/stowage/smoke/tags/list`, { headers });
    assert.deepEqual(await tags.json(), { name: 'stowage/smoke', tags: [] });
  });

  it('passes a server without access control', async () => {
    const folder = await temporaryFolder('smoke');
    const server = await serve(join(folder.path, 'registry'), { REGISTRY_AUTH: 'none' });
    const { code, output } = await runStowage([
      'smoke',
      `http://${server.address}/`,
      '--repository',
      'a/b/c',
    ]);
    await server.stop();
    folder.remove();
    assert.equal(code, 0, output);
    assert.match(
      output,
      /in the repository a\/b\/c\n[^]+\(the registry asks for no login\)[^]+\n22 checks passed/,
    );
  });

  it('expects large layers to be refused with --no-large, and prints JSON for programs with --json', async () => {
    registry.hasDataPlane = false;
    const args = ['smoke', registry.url, '--user=bob', '--no-large', '--json'];
    const { code, output, errors } = await runStowage(args, { STOWAGE_PASSWORD: passwordOf('bob') });
    assert.deepEqual([code, errors], [0, ''], output);
    const { checks, left, ...report } = JSON.parse(output) as { checks: Result[]; left: string[] };
    const { url } = registry;
    assert.deepEqual(report, { version: 1, url, repository: 'stowage/smoke', passed: true });
    const [refused] = checks.filter(({ name }) => name === 'refused-large');
    assert.match(refused?.note ?? '', /^docker, containerd and podman push layers up to 4 MiB/);
    assert.ok(!checks.some(({ name }) => name.startsWith('push-large')));
    for (const { status, milliseconds } of checks)
      assert.equal(`${status} ${typeof milliseconds}`, 'passed number');
    // bob may not delete.
    assert.match(
      left.join(),
      /^the tag stowage\/smoke:smoke-[0-9a-f]{8}, which could not be removed \(403 .*DENIED/,
    );
  });

  it('says what fails, skips what depends on it, and exits with 1', async () => {
    const args = ['smoke', registry.url, '--user', 'alice', '--json'];
    const { code, output } = await runStowage(args, { STOWAGE_PASSWORD: 'another' });
    const { passed, checks } = JSON.parse(output) as { passed: boolean; checks: Result[] };
    assert.deepEqual([code, passed], [1, false]);
    const [, , login, slashes] = checks;
    assert.deepEqual([login?.status, slashes?.status, slashes?.note], ['failed', 'skipped', 'needs login']);
    assert.match(login?.finding?.came ?? '', /^401 with .*UNAUTHORIZED/);
    assert.equal(
      login?.finding?.change,
      'Check the user and the password; the header Authorization must reach the token service',
    );
    assert.ok(!output.includes('another'));
  });

  it('prints nothing that a terminal obeys, or that turns text, whatever a registry sends', async () => {
    const evil = '\u009b2J\u001b[31m\u202eabc\u2028\u200b';
    registry.proxy.fault = answer(418, `<html>${evil}`, (_, path) => path === '/v2/');
    for (const args of [[], ['--json']]) {
      const { output } = await runStowage(['smoke', registry.url, '--user', 'alice', ...args], env);
      assert.match(output, /418 with <html> 2J \[31m abc /);
      assert.doesNotMatch(output.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
    }
    // One character a byte, as Node sends and reads headers.
    const latin = { 'www-authenticate': 'Digest \u009b2J' };
    registry.proxy.fault = {
      answer: ({ path }) =>
        path === '/v2/' ? { status: 401, headers: latin, body: Buffer.alloc(0) } : undefined,
    };
    const { output } = await runStowage(['smoke', registry.url, '--user', 'alice'], env);
    assert.match(output, /came: {3}WWW-Authenticate: Digest {2}2J\n/);
  });

  it('removes what it pushed when it is stopped, and exits with 1', async () => {
    const args = [
      'lib/commands/stowage.ts',
      'smoke',
      registry.url,
      '--user',
      'alice',
      '--json',
      '--repository',
      'a/stopped',
    ];
    const child = spawn(process.execPath, args, {
      env: cleanEnvironment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    registry.proxy.fault = {
      request: (asked) => {
        if (isBlob(asked)) child.kill('SIGINT');
      },
    };
    const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
    const [code] = (await once(child, 'close')) as [number | null];
    const [output = '', errors = ''] = (await texts).map((pieces) => Buffer.concat(pieces).toString());
    assert.match(errors, /^Stopping: what was pushed is removed, in 10 s at most\.\n$/);
    const { passed, checks, left } = JSON.parse(output) as {
      passed: boolean;
      checks: Result[];
      left: string[];
    };
    assert.deepEqual([code, passed], [1, false]);
    assert.ok(checks.some(({ name, status }) => name === 'push-image' && status === 'passed'));
    assert.equal(checks.at(-1)?.note, 'stopped');
    assert.match(left.join(), /^layers in a\/stopped, /);
    const { body } = await askToken(registry.url, 'alice', ['repository:a/stopped:pull']);
    const { token } = JSON.parse(body.toString()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const tags = await fetch(`${registry.url}/v2/a/stopped/tags/list`, { headers });
    assert.deepEqual(await tags.json(), { name: 'a/stopped', tags: [] });
  });

  describe('with the login of docker', () => {
    const login = async (config: object, ...args: string[]) => {
      const folder = await temporaryFolder('smoke');
      mkdirSync(join(folder.path, '.docker'));
      writeFileSync(join(folder.path, '.docker', 'config.json'), JSON.stringify(config));
      const { code, output } = await runStowage(['smoke', registry.url, '--no-large', '--json', ...args], {
        HOME: folder.path,
      });
      folder.remove();
      const { checks } = JSON.parse(output) as { checks: Result[] };
      return { code, note: checks.find(({ name }) => name === 'login')?.note, output };
    };
    const host = () => new URL(registry.url).host;

    it('takes the password that is stored for the host', async () => {
      const auth = Buffer.from(`alice:${passwordOf('alice')}`).toString('base64');
      const { code, note } = await login({ auths: { [host()]: { auth } } });
      assert.deepEqual([code, note], [0, 'as alice']);
    });

    it('takes an identity token, as docker login stores it', async () => {
      const more = { offline_token: 'true', service: host(), client_id: 'docker' };
      const { body } = await askToken(registry.url, 'alice', [], more);
      const { refresh_token: identitytoken } = JSON.parse(body.toString()) as { refresh_token: string };
      const { code, note } = await login({ auths: { [host()]: { auth: 'YWxpY2U6', identitytoken } } });
      assert.deepEqual([code, note], [0, 'by an identity token']);
    });

    it('says that there is none', async () => {
      const { code, output } = await login({ auths: { 'other.example.com': {} } });
      assert.equal(code, 1);
      assert.match(output, /401, and no user was given.+\n.+Give --user NAME and the password/);
    });
  });

  for (const [what, args, message] of [
    ['no URL', [], 'the URL of the registry is missing'],
    ['two', ['https://a', 'https://b'], '"https://b" is one argument too many'],
    ['another scheme', ['ftp://a'], '"ftp://a" is not the URL of a registry'],
    ['http to another machine', ['http://198.51.100.1'], 'clients talk http to this machine only'],
    [
      'a path',
      ['https://a.example.com/team/'],
      'clients know no path before /v2/; give the URL without /team/',
    ],
    [
      'a password in the URL',
      ['https://a:b@c.example.com'],
      'a URL with a password shows in lists of processes',
    ],
    ['a repository that is none', ['https://a', '--repository', 'A'], '--repository: "A" is not the name'],
    [
      'an unknown option',
      ['https://a', '--no-larg'],
      '"--no-larg" is not a known option; did you mean --no-large?',
    ],
  ] as const)
    it(`refuses ${what} with exit code 2, and prints its usage`, async () => {
      const { code, output, errors } = await runStowage(['smoke', ...args]);
      assert.ok(errors.startsWith(message), errors);
      assert.match(errors, /\n\nUsage: stowage smoke URL/);
      assert.deepEqual([code, output], [2, '']);
    });

  /** Runs a check and those that it needs. @returns what came of it */
  const check = async (name: string): Promise<Result> => {
    const all = [...gatewayChecks, ...imageChecks(true), httpsCheck];
    const needed = new Set<string>([name]);
    for (const { name: one, needs } of all.toReversed())
      if (needed.has(one)) needs.forEach((need) => needed.add(need));
    const context = {
      session: new Session(new URL(registry.url), { user: 'alice', password: passwordOf('alice') }),
      repository: 'stowage/smoke',
      run: name,
      pointers: new Map<string, URL>(),
      pushed: new Map<string, string>(),
    };
    const results = await runChecks(
      all.filter((one) => needed.has(one.name)),
      context,
      () => undefined,
    );
    const result = results.find((one) => one.name === name);
    assert.ok(result);
    return result;
  };

  const html = { 'content-type': 'text/html' };
  const isBlob = ({ method, path }: { method: string; path: string }) =>
    method === 'GET' && path.includes('/blobs/sha256:');
  const drop = (header: string): Fault => ({
    response: ({ headers }) => {
      Reflect.deleteProperty(headers, header);
    },
  });
  const answer = (status: number, body: string, when: (method: string, path: string) => boolean): Fault => ({
    answer: ({ method, path }) =>
      when(method, path) ? { status, headers: html, body: Buffer.from(body) } : undefined,
  });
  const redirect = (from: RegExp, to: (path: string) => string): Fault => ({
    answer: ({ path }) =>
      from.test(path) ? { status: 307, headers: { location: to(path) }, body: Buffer.alloc(0) } : undefined,
  });
  const rewrite = (header: string, change: (value: string) => string): Fault => ({
    response: ({ headers }) => {
      if (header in headers) headers[header] = change(String(headers[header]));
    },
  });

  const elsewhere = 'http://registry.example.com';
  for (const [what, fault, name, asked, came, change] of [
    [
      'answers with a page of its own',
      answer(404, '<html>', (_, path) => path === '/v2/'),
      'base',
      /^GET http:\/\/127\.0\.0\.1:\d+\/v2\/$/,
      /^404 with <html> \(not an error of a registry: what stands before it answered\)$/,
      /Check the URL/,
    ],
    [
      'removes the slash of /v2/',
      redirect(/^\/v2\/$/, () => '/v2'),
      'base',
      /\/v2\/$/,
      /^307 to \/v2$/,
      /No proxy may redirect \/v2\//,
    ],
    [
      'removes WWW-Authenticate',
      drop('www-authenticate'),
      'challenge',
      /^GET /,
      /^401 without WWW-Authenticate$/,
      /let WWW-Authenticate pass/,
    ],
    [
      'hides that clients use https',
      rewrite('www-authenticate', (value) => value.replace(/http:[^"]+/, `${elsewhere}/token`)),
      'challenge',
      /^GET /,
      /^a token service that is not on https: http:\/\/registry\.example\.com$/,
      /Set REGISTRY_HTTP_HOST to the https URL .+ X-Forwarded-Proto/,
    ],
    [
      'keeps the token service from clients',
      answer(404, '<html>', (_, path) => path.startsWith('/token')),
      'login',
      /^GET http:\/\/127\.0\.0\.1:\d+\/token$/,
      /^404 with <html> \(not/,
      /The token service must answer 200/,
    ],
    [
      'removes Authorization',
      {
        request: ({ path, headers }) => {
          if (!path.startsWith('/token')) delete headers.authorization;
        },
      },
      'login',
      /\/v2\/$/,
      /^401 with /,
      /a gateway must pass the header Authorization/,
    ],
    [
      'removes the slash of blobs/uploads/',
      redirect(/\/blobs\/uploads\/$/, (path) => path.slice(0, -1)),
      'slashes',
      /^POST .+\/blobs\/uploads\/$/,
      /^307 with no body$/,
      /no proxy may redirect uploads, not even to add or remove a slash/,
    ],
    [
      'takes 8 KiB of headers',
      {
        answer: ({ headers }) =>
          JSON.stringify(headers).length > 8192
            ? { status: 431, headers: {}, body: Buffer.alloc(0) }
            : undefined,
      },
      'headers',
      /tags\/list with 10000 bytes of headers$/,
      /^431 with no body$/,
      /10,240 bytes of headers/,
    ],
    [
      'replaces errors by its own',
      {
        response: (reply) => {
          if (reply.status === 404) Object.assign(reply, { headers: html, body: Buffer.from('<html>') });
        },
      },
      'errors',
      /^GET .+\/manifests\/no-such-tag-errors$/,
      /^404 with <html> .+, as text\/html$/,
      /proxies must pass errors of the registry as they are/,
    ],
    [
      'asks for the length of bodies',
      {
        answer: (_, isChunked) =>
          isChunked ? { status: 411, headers: html, body: Buffer.from('Length Required') } : undefined,
      },
      'push-docker',
      /^PATCH .+ with 40960 bytes and no Content-Length$/,
      /^411 with Length Required/,
      /docker does not announce the length of layers: the proxy must pass chunked bodies/,
    ],
    [
      'takes bodies for text',
      {
        request: (asked) => {
          asked.body = Buffer.from(asked.body.toString());
        },
      },
      'push-containerd',
      /^PUT .+ with 51200 bytes$/,
      /^400 with .*DIGEST_INVALID/,
      /a gateway must pass bodies as binary/,
    ],
    [
      'removes Range of responses',
      drop('range'),
      'push-docker',
      /^PATCH /,
      /Range: none \(of 0-40959\)/,
      /A proxy must pass Location and Range of responses/,
    ],
    [
      'removes Location',
      drop('location'),
      'push-containerd',
      /^POST /,
      /^202 without a Location$/,
      /must pass the header Location/,
    ],
    [
      'redirects uploads',
      redirect(/\/blobs\/uploads\/[^?]/, (path) => `/other${path}`),
      'push-docker',
      /^PATCH /,
      /^307 with no body$/,
      /Clients do not send a body again/,
    ],
    [
      'limits bodies to 1 MiB',
      {
        answer: ({ body }) =>
          body.length > 2 ** 20 ? { status: 413, headers: html, body: Buffer.from('<html>') } : undefined,
      },
      'push-chunks',
      /^PATCH .+ with 4194304 bytes$/,
      /^413 with <html> \(not an error of a registry/,
      /nginx what client_max_body_size says.+ run this with --no-large/,
    ],
    [
      'lets uploads lead elsewhere by http',
      rewrite('location', (value) => value.replace(/^http:\/\/[^/]+/, elsewhere)),
      'push-containerd',
      /^PUT http:\/\/registry\.example\.com\//,
      /which is not on https; nothing was sent there$/,
      /REGISTRY_HTTP_DATAPLANE\) to https URLs/,
    ],
    [
      'has another address for uploads',
      rewrite('location', (value) => value.replace('127.0.0.1', 'localhost')),
      'push-oras',
      /^POST .+\/blobs\/uploads\/$/,
      /^a Location at another host or port: http:\/\/localhost:\d+$/,
      /put both planes behind one address/,
    ],
    [
      'removes Docker-Content-Digest',
      drop('docker-content-digest'),
      'push-image',
      /^PUT .+\/manifests\/smoke-push-image with \d+ bytes$/,
      /^201 with Docker-Content-Digest: none$/,
      /docker fails without/,
    ],
    [
      'takes all types for JSON',
      rewrite('content-type', () => 'application/json'),
      'head-manifest',
      /^HEAD /,
      /^200 with Content-Type: application\/json, Docker-Content-Digest: sha256:/,
      /Proxies must pass both headers as they are/,
    ],
    [
      'compresses layers',
      {
        response: (reply, asked) => {
          if (isBlob(asked)) Object.assign(reply.headers, { 'content-encoding': 'gzip' });
          if (isBlob(asked)) reply.body = Buffer.from('compressed');
          delete reply.headers['content-length'];
        },
      },
      'pull-image',
      /^GET .+\/blobs\/sha256:/,
      /^10 other bytes than the 700 that were pushed, with Content-Encoding: gzip$/,
      /a proxy must not compress or convert them/,
    ],
    [
      'lets pulls lead elsewhere by http',
      redirect(/\/blobs\/sha256:/, () => `${elsewhere}/layer`),
      'head-blob',
      /^HEAD http:\/\/registry\.example\.com\/layer$/,
      /nothing was sent there$/,
      /https URLs/,
    ],
    [
      'redirects in a circle',
      redirect(/\/blobs\/sha256:/, (path) => path),
      'head-blob',
      /^HEAD /,
      /^more than 10 redirects, the last to http:\/\/127/,
      /A redirect must lead to where the bytes are/,
    ],
    [
      'removes Range of requests',
      {
        request: ({ headers }) => {
          delete headers.range;
        },
      },
      'range',
      /with Range: bytes=1000-1999$/,
      /^200 with 40960 bytes and Content-Range: none$/,
      /clients resume pulls by it/,
    ],
    [
      'cuts connections',
      {
        answer: ({ path }) => {
          if (path.endsWith('/blobs/uploads/')) throw new Error('cut');
          return undefined;
        },
      },
      'slashes',
      /^POST /,
      /^no response: socket hang up$/,
      /a proxy must not cut requests off/,
    ],
  ] satisfies [string, Fault, string, RegExp, RegExp, RegExp][])
    it(`says what to change where a proxy ${what}`, async () => {
      registry.proxy.fault = fault;
      const { status, finding } = await check(name);
      assert.equal(status, 'failed');
      assert.match(finding?.asked ?? '', asked);
      assert.match(finding?.came ?? '', came);
      assert.match(finding?.change ?? '', change);
    });

  it('says what to change where a gateway renames the challenge', async () => {
    registry.gateway.challenges = 'renamed';
    const { finding } = await check('challenge');
    assert.equal(finding?.came, '401 whose WWW-Authenticate is named x-amzn-remapped-www-authenticate');
    assert.match(
      finding.change,
      /^The gateway renames the header.+docs\/functions\.md#headers-that-a-gateway-may-change/,
    );
  });

  for (const [headLength, given] of [
    ['dropped', 'none'],
    ['zero', '0'],
  ] as const)
    it(`says what to change where the length of HEAD is ${headLength}`, async () => {
      registry.gateway.headLength = headLength;
      const { finding } = await check('head-manifest');
      assert.match(finding?.came ?? '', new RegExp(`^200 with Content-Length: ${given} instead of \\d+$`));
      assert.match(finding?.change ?? '', /docs\/functions\.md#headers-that-a-gateway-may-change/);
    });

  it('says that large layers need a data plane where there is none', async () => {
    registry.hasDataPlane = false;
    const { finding } = await check('push-large-containerd');
    assert.equal(
      finding?.came,
      '413 with {"message":"Request Entity Too Large"} (not an error of a registry: what stands before it answered)',
    );
    assert.match(
      finding.change,
      /^Something limits the size of bodies: API Gateway takes 10 MB, Lambda about 4\.4 MiB/,
    );
  });

  it('sends no credentials to another host that a pull leads to', async () => {
    const authorizations: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      authorizations.push(request.headers.authorization);
      response.writeHead(200, { 'content-length': 40960 }).end();
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    registry.proxy.fault = redirect(/\/blobs\/sha256:/, () => `http://127.0.0.1:${port}/layer`);
    assert.equal((await check('head-blob')).status, 'passed');
    assert.deepEqual(authorizations, [undefined]);
    other.close();
  });

  it('says which other host got the password', async () => {
    registry.proxy.fault = rewrite('www-authenticate', (value) =>
      value.replace('//127.0.0.1', '//localhost'),
    );
    const { note } = await check('login');
    assert.equal(note, `as alice; the password was sent to localhost:${new URL(registry.url).port}`);
  });

  it('finds that a registry on https points at http', async () => {
    const session = new Session(new URL('https://registry.example.com'), undefined);
    const pointers = new Map([['Location of POST', new URL('http://127.0.0.1/v2/')]]);
    const context = { session, repository: 'a', run: 'b', pointers, pushed: new Map<string, string>() };
    await assert.rejects(httpsCheck.run(context), {
      finding: {
        asked: 'Location of POST',
        came: 'http://127.0.0.1/v2/',
        change:
          'Set REGISTRY_HTTP_HOST (and REGISTRY_HTTP_DATAPLANE) to https URLs; a proxy that ends TLS must send X-Forwarded-Proto',
      },
    });
  });
});
