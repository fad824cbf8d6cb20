/*
 * `npm run bench:passwords`: what guesses of passwords cost. How long a user who has logged in waits while 1,000 wrong logins
 * a second come, from one address and from 200; and whether the time of a wrong login tells if there is such a user.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dummyHashFor } from '../../lib/access/htpasswd/dummy-hash.ts';
import { parseEntries } from '../../lib/access/htpasswd/entries.ts';
import { Htpasswd } from '../../lib/access/htpasswd/htpasswd.ts';
import { flood } from '../access/htpasswd/flood.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { launch } from '../servers/process.ts';

/** Of cost 10 and cost 5; the password is "correct horse". */
const file = [
  'alice:$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu',
  'bob:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2',
].join('\n');

/** Wrong logins of each user whose times are compared. */
const samples = 300;

await compareUsers();
await compareFloods();

async function compareFloods(): Promise<void> {
  const folder = await temporaryFolder('bench-passwords');
  const path = join(folder.path, 'users.htpasswd');
  writeFileSync(path, file);
  for (const addresses of [0, 200]) {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/v2/`;
    const program = join(import.meta.dirname, '../access/htpasswd/server.ts');
    const ready = async () => (await fetch(url)).status === 401;
    const server = await launch(process.execPath, [program, path, String(port)], ready);
    const user = { name: 'alice', password: 'correct horse' };
    for (const rate of [0, 1_000]) {
      const result = await flood(url, user, { rate, seconds: 10, addresses });
      const times = `p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms`;
      const where = addresses === 0 ? 'one address' : `${addresses} addresses`;
      console.log(`a user beside ${rate} wrong logins a second from ${where}: ${times}`, result.wrong);
    }
    await server.stop();
  }
  folder.remove();
}

/** Welch's t-test. Beyond 4.5 the times differ for sure, as leakage is assessed (ISO/IEC 17825). */
async function compareUsers(): Promise<void> {
  const unlimited = {
    perUser: Infinity,
    perAddress: Infinity,
    concurrent: Infinity,
    windowMs: 1,
    maxCounts: 10,
  };
  const htpasswd = await Htpasswd.open(
    { kind: 'content', content: file },
    { warn: console.error, attempts: unlimited },
  );
  const unknown = unknownUsers();
  const names = ['alice', 'bob', unknown.of10, unknown.of5];
  const times = new Map(names.map((name) => [name, [] as number[]]));
  for (let i = 0; i < samples; i++)
    for (const name of names.toSorted(() => Math.random() - 0.5)) {
      const start = performance.now();
      await htpasswd.verify(name, `wrong ${i}`, undefined).catch(() => undefined);
      times.get(name)?.push(performance.now() - start);
    }
  await htpasswd.close();
  const timesOf = (...users: string[]) => users.flatMap((user) => central(times.get(user) ?? []));
  for (const [what, users, others] of [
    ['a user of cost 10', ['alice'], [unknown.of10]],
    ['a user of cost 5', ['bob'], [unknown.of5]],
    ['both users', ['alice', 'bob'], [unknown.of10, unknown.of5]],
  ] as const) {
    const [own, theirs] = [timesOf(...users), timesOf(...others)];
    console.log(
      `a wrong login of ${what}: ${mean(own).toFixed(2)} ms, of unknown users: ${mean(theirs).toFixed(2)} ms, ` +
        `t = ${welch(own, theirs).toFixed(2)}`,
    );
  }
}

/** Two names of nobody: passwords of one are compared with a hash of cost 10, of the other with one of cost 5. */
function unknownUsers(): { of10: string; of5: string } {
  const entries = parseEntries(file, 'file');
  const names = Array.from({ length: 100 }, (_, i) => `unknown-${i}`);
  const nameOf = (cost: string) =>
    names.find((name) => dummyHashFor(name, entries).startsWith(`$2b$${cost}$`)) ?? '';
  return { of10: nameOf('10'), of5: nameOf('05') };
}

/** Without the slowest fifth, in which other work on this machine had the processor. */
function central(times: readonly number[]): readonly number[] {
  return times.toSorted((a, b) => a - b).slice(0, Math.floor(times.length * 0.8));
}

function welch(a: readonly number[], b: readonly number[]): number {
  return (mean(a) - mean(b)) / Math.sqrt(variance(a) / a.length + variance(b) / b.length);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(values: readonly number[]): number {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}
