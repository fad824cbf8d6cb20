import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Htpasswd } from '../../../lib/access/htpasswd/htpasswd.ts';
import { command } from '../../servers/process.ts';
import { requires } from '../../servers/requires.ts';
import { hashes, line, noWarning, openContent, openFile, outcome, right } from './lines.ts';

const address = '192.0.2.1';
const other = 'Grüße, 世界';
const closing: (() => Promise<void>)[] = [];

async function open(...args: Parameters<typeof openFile>) {
  const opened = await openFile(...args);
  closing.push(opened.close);
  const login = async (name: string, password = right) =>
    await outcome(opened.htpasswd.verify(name, password, address));
  return { ...opened, login };
}

after(async () => {
  for (const close of closing) await close();
});

describe('a password file that changes', () => {
  it('lets nobody in with what was remembered of a line that is another now', async () => {
    const { path, login, htpasswd } = await open(line('alice'));
    assert.equal(await login('alice'), 'ok');
    const before = await htpasswd.fingerprint('alice');
    writeFileSync(path, `alice:${hashes[other]}`);
    const changed = await htpasswd.fingerprint('alice');
    assert.ok(changed !== undefined && changed !== before);
    assert.deepEqual([await login('alice'), await login('alice', other)], ['UNAUTHORIZED', 'ok']);
  });

  it('lets nobody in whose line is gone, and remembers them no more when it is back', async () => {
    const { path, login, htpasswd } = await open(`${line('alice')}\n${line('bob')}`);
    assert.equal(await login('alice'), 'ok');
    writeFileSync(path, line('bob'));
    assert.equal(await htpasswd.fingerprint('alice'), undefined);
    assert.deepEqual([await login('alice'), await login('bob')], ['UNAUTHORIZED', 'ok']);
  });

  it('is seen where its size and its time are as before', async () => {
    const { path, login } = await open(line('alice'));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
    assert.equal(await login('alice'), 'ok');
    writeFileSync(path, line('carol'));
    utimesSync(path, 1_000_000_000, 1_000_000_000);
    assert.deepEqual([await login('alice'), await login('carol')], ['UNAUTHORIZED', 'ok']);
  });

  it('is seen where Kubernetes lets a symbolic link name another folder', async () => {
    const { folder, htpasswd } = await open(line('nobody'));
    // As the kubelet does (AtomicWriter): the file is a link to ..data/users, and ..data one to a folder with a date.
    const publish = (version: string, text: string) => {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'users'), text);
      symlinkSync(version, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    publish('..2026_11_01', line('alice'));
    symlinkSync('..data/users', join(folder, 'users'));
    const path = join(folder, 'users');
    const mounted = await Htpasswd.open({ kind: 'file', path }, { warn: noWarning, checkEveryMs: 0 });
    closing.push(async () => {
      await mounted.close();
    });
    await mounted.verify('alice', right, address);
    publish('..2026_11_02', line('bobby'));
    rmSync(join(folder, '..2026_11_01'), { recursive: true });
    assert.equal(await outcome(mounted.verify('alice', right, address)), 'UNAUTHORIZED');
    assert.equal(await outcome(mounted.verify('bobby', right, address)), 'ok');
    assert.equal(await htpasswd.fingerprint('bobby'), undefined);
  });

  it('is seen where htpasswd of Debian changes it in its place', requires('htpasswd'), async () => {
    const { path, login } = await open(line('alice'));
    assert.equal(await login('alice'), 'ok');
    await command('htpasswd', ['-bB', '-C', '4', path, 'alice', 'new']);
    await command('htpasswd', ['-bB', '-C', '4', path, 'bob', right]);
    assert.deepEqual([await login('alice'), await login('alice', 'new')], ['UNAUTHORIZED', 'ok']);
    await command('htpasswd', ['-D', path, 'alice']);
    assert.deepEqual([await login('alice', 'new'), await login('bob')], ['UNAUTHORIZED', 'ok']);
  });

  for (const [what, breakIt, said] of [
    [
      'is broken',
      (path: string) => {
        writeFileSync(path, `${line('bob')}\nalice:secret`);
      },
      /cannot be used:\n {2}- line 2 has no bcrypt hash/,
    ],
    [
      'is gone',
      (path: string) => {
        rmSync(path);
      },
      /^the password file \S+ does not exist/,
    ],
    [
      'is a folder',
      (path: string) => {
        rmSync(path);
        mkdirSync(path);
      },
      /^the password file \S+ is not a file/,
    ],
    [
      'is not in UTF-8',
      (path: string) => {
        writeFileSync(path, Buffer.from(line('bj\u00f6rn'), 'latin1'));
      },
      /^the password file \S+ is not UTF-8 text/,
    ],
    [
      'is huge',
      (path: string) => {
        writeFileSync(path, '#'.repeat(1024 * 1024 + 1));
      },
      /^the password file \S+ has 1048577 bytes, more than 1048576/,
    ],
  ] as const)
    it(`leaves its users in force where it ${what}, which is said once, and once when it is right again`, async () => {
      const { path, login, warnings } = await open(line('alice'));
      breakIt(path);
      for (let i = 0; i < 3; i++) assert.equal(await login('alice'), 'ok');
      assert.equal(await login('bob'), 'UNAUTHORIZED');
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', said);
      assert.match(warnings[0] ?? '', /\nThe previous users stay in use\.$/);
      assert.doesNotMatch(warnings[0] ?? '', /secret/);
      rmSync(path, { recursive: true, force: true });
      writeFileSync(path, line('bob'));
      assert.deepEqual([await login('alice'), await login('bob')], ['UNAUTHORIZED', 'ok']);
      assert.match(warnings[1] ?? '', /^the password file \S+ is in use again$/);
    });

  it('lets nobody in when it is empty, and says so', async () => {
    const { path, login, warnings } = await open(line('alice'));
    assert.equal(await login('alice'), 'ok');
    writeFileSync(path, '');
    assert.equal(await login('alice'), 'UNAUTHORIZED');
    assert.match(warnings.join('\n'), /^the password file \S+ has no users: nobody can log in$/);
  });

  it('is read when it is whole, where a writer needs some milliseconds', async () => {
    const { path, login } = await open(`${line('alice')}\n${line('bob')}`);
    for (let rounds = 0; rounds < 3;) {
      const start = performance.now();
      writeFileSync(path, line('bob'));
      const early = login('alice');
      await delay(20);
      writeFileSync(path, `${line('bob')}\n${line('alice')}`);
      const elapsed = performance.now() - start;
      const came = await early;
      // Where this process had to wait for the processor, the file rested for long enough to count.
      if (elapsed > 40) continue;
      assert.equal(came, 'ok');
      rounds++;
    }
  });

  it('is looked at once in the time that is set', async () => {
    const start = performance.now();
    const { path, login } = await open(line('alice'), { checkEveryMs: 1_000 });
    writeFileSync(path, line('bob'));
    while ((await login('alice')) === 'ok') await delay(10);
    const elapsed = performance.now() - start;
    assert.ok(elapsed > 1_000, `${elapsed} ms`);
  });
});

describe('a password file at the start', () => {
  it('is refused where it does not exist', async () => {
    const path = '/nonexistent/users.htpasswd';
    await assert.rejects(Htpasswd.open({ kind: 'file', path }, { warn: noWarning }), {
      message: `the password file ${path} does not exist`,
    });
  });

  it('is refused where a line is wrong, by its number', async () => {
    await assert.rejects(openContent(`${line('alice')}\nbob:$apr1$secret`), {
      name: 'HtpasswdError',
      message:
        'the content of the password file in the settings cannot be used:\n' +
        '  - line 2 has an MD5 hash, not bcrypt; make the line anew with: stowage htpasswd NAME',
    });
  });

  it('may be empty, which is said', async () => {
    const warnings: string[] = [];
    const warn = (message: string) => {
      warnings.push(message);
    };
    await (await openContent('# soon\n', { warn })).close();
    assert.match(warnings.join('\n'), /^the content .* has no users: nobody can log in$/);
  });
});

describe('a right password', () => {
  it('is remembered for some time after its last use, and then checked again', async () => {
    const { htpasswd, login } = await open(line('alice'), { rememberMs: 400 });
    assert.equal(await login('alice'), 'ok');
    // Ended threads check nothing any more.
    await htpasswd.close();
    const start = performance.now();
    while (performance.now() - start < 800) {
      assert.equal(await login('alice'), 'ok');
      await delay(50);
    }
    await delay(450);
    assert.equal(await login('alice'), 'UNAVAILABLE');
  });
});
