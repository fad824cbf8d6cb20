import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HtpasswdAccess } from '../../../lib/access/htpasswd/access-control.ts';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { actions } from '../../../lib/access/access.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { freePort } from '../../servers/ports.ts';
import { launch, type Server } from '../../servers/process.ts';
import { flood, type Flooded } from './flood.ts';
import { hashes, line, openContent, outcome, right } from './lines.ts';

const repository = 'team/app' as RepositoryName;
const credentials = (authorization: string | undefined) => ({
  authorization,
  address: '192.0.2.1',
  origin: 'https://registry.example.com',
});
const basic = (login: string) => `Basic ${Buffer.from(login).toString('base64')}`;

describe('REGISTRY_AUTH=htpasswd', () => {
  let access: HtpasswdAccess;

  before(async () => {
    const file = `${line('alice')}\nälice:${hashes['Grüße, 世界']}`;
    access = new HtpasswdAccess(await openContent(file), 'The registry');
  });

  after(async () => {
    await access.close();
  });

  for (const login of [`alice:${right}`, 'älice:Grüße, 世界'])
    it(`lets the user ${login.split(':')[0]} do everything with the right password`, async () => {
      const caller = await access.authenticate(credentials(basic(login)));
      assert.equal(caller.actor, login.split(':')[0]);
      const decisions = actions.map((action) => caller.decide(action, repository));
      for (const { outcome } of [...decisions, caller.decideLogin(), caller.decideCatalog()])
        assert.equal(outcome, 'allow');
      assert.equal(caller.shows?.(repository) ?? true, true);
    });

  it('asks for a login wherever there are no credentials', async () => {
    const caller = await access.authenticate(credentials(undefined));
    const decisions = actions.map((action) => caller.decide(action, repository));
    for (const { outcome } of [...decisions, caller.decideLogin(), caller.decideCatalog()])
      assert.equal(outcome, 'authenticate');
    assert.equal(caller.actor, undefined);
    assert.equal(caller.shows?.(repository), false);
  });

  for (const [what, header] of [
    ['a wrong password', basic('alice:wrong')],
    ['an unknown user', basic(`mallory:${right}`)],
    ['an empty login', basic(':')],
    ['a token', 'Bearer eyJhbGciOiJub25lIn0.e30.'],
    ['what is no base64', 'Basic :'],
  ] as const)
    it(`refuses ${what} with UNAUTHORIZED`, async () => {
      assert.equal(await outcome(access.authenticate(credentials(header))), 'UNAUTHORIZED');
    });

  it('names its realm in the challenge', () => {
    assert.equal(access.challenge(), 'Basic realm="The registry"');
  });
});

describe('under 1,000 wrong logins a second', () => {
  let [server, url]: [Server | undefined, string] = [undefined, ''];

  before(async () => {
    const folder = await temporaryFolder('flood');
    const file = join(folder.path, 'users.htpasswd');
    // Cost 10, of the password "correct horse".
    writeFileSync(file, 'alice:$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu\n');
    const port = await freePort();
    url = `http://127.0.0.1:${port}/v2/`;
    const ready = async () => (await fetch(url)).status === 401;
    server = await launch(
      process.execPath,
      [join(import.meta.dirname, 'server.ts'), file, String(port)],
      ready,
    );
  });

  after(async () => {
    await server?.stop();
  });

  // Linux has all addresses of 127.0.0.0/8.
  const several = process.platform === 'linux' ? 200 : 0;
  for (const [where, addresses] of [
    ['from one address', 0],
    ['from many addresses', several],
  ] as const)
    it(`${where}, a user who has logged in is answered as usual (99 of 100 within 300 ms)`, async () => {
      const results: Flooded[] = [];
      // Other work on this machine may take the processor for longer.
      while (results.length < 5 && !results.some(({ p99 }) => p99 < 300)) {
        const result = await flood(
          url,
          { name: 'alice', password: right },
          { rate: 1_000, seconds: 3, addresses },
        );
        results.push(result);
        const { 401: refused = 0, ...others } = result.wrong;
        // Nearly all without a look at the password.
        assert.ok((others[addresses === 0 ? 429 : 503] ?? 0) > refused, JSON.stringify(result));
        assert.deepEqual(Object.keys(result.user), ['200'], JSON.stringify(result));
      }
      assert.ok((results.at(-1)?.p99 ?? Infinity) < 300, JSON.stringify(results));
    });
});
