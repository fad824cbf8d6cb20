/**
 * `npm run test:setup`: installs the servers and clients that tests talk to, as Debian packages, without letting any
 * of their daemons start. Quick when they are there; where it cannot install, it says so and the tests do without.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { atExit } from './cleanup.ts';

const PACKAGES = [
  'docker.io',
  'skopeo',
  'docker-registry',
  'swift-proxy',
  'swift-account',
  'swift-container',
  'swift-object',
  'memcached',
  'mariadb-server',
  'curl',
];

/** Asked before a package starts its daemon; 101 is "not allowed" (invoke-rc.d(8)). */
const POLICY = '/usr/sbin/policy-rc.d';
const OUR_POLICY =
  '#!/bin/sh\n# Written by npm run test:setup of Stowage, for as long as it runs.\nexit 101\n';
const POLICY_KEPT = `${POLICY}.before-stowage`;

process.exitCode = setup();

/** Returns the exit code. */
function setup(): number {
  if (!existsSync('/etc/debian_version')) return explain('this is not Debian', PACKAGES);
  const wanted = PACKAGES.filter((name) => !isInstalled(name));
  if (wanted.length === 0) {
    console.log(`test servers: ${PACKAGES.join(', ')} are installed`);
    return 0;
  }
  if (process.getuid?.() !== 0) return explain('this user is not root', wanted);
  return install(wanted);
}

function explain(why: string, packages: string[]): number {
  console.log(
    `test servers: would install the Debian packages ${packages.join(', ')}, but ${why}. ` +
      'Tests that need them are skipped and say so (with CI=true they fail).',
  );
  return 0;
}

function isInstalled(name: string): boolean {
  const query = spawnSync('dpkg-query', ['--show', '--showformat=${db:Status-Status}', name], {
    encoding: 'utf8',
  });
  return query.stdout === 'installed';
}

function install(packages: string[]): number {
  console.log(`test servers: installing ${packages.join(', ')}`);
  forbidDaemons();
  if (!apt('update')) return 1;
  if (!apt('install', '--yes', '--no-install-recommends', ...packages)) return 1;
  return 0;
}

/** Puts the policy in place until this program exits, and then back what was there. */
function forbidDaemons(): void {
  if (existsSync(POLICY) && !isOurs(POLICY)) renameSync(POLICY, POLICY_KEPT);
  atExit(() => {
    rmSync(POLICY, { force: true });
    if (existsSync(POLICY_KEPT)) renameSync(POLICY_KEPT, POLICY);
  });
  writeFileSync(POLICY, OUR_POLICY, { mode: 0o755 });
}

/** A run that was killed leaves ours behind, which must not be kept as the machine's own. */
function isOurs(file: string): boolean {
  return readFileSync(file, 'utf8') === OUR_POLICY;
}

function apt(...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, signal, error } = spawnSync('apt-get', ['--quiet', ...args], { env, stdio: 'inherit' });
  if (status === 0) return true;
  const why = error?.message ?? (signal ? `ended by ${signal}` : `exit code ${String(status)}`);
  console.error(`test servers: apt-get ${args.join(' ')} failed (${why}); see its messages above.`);
  return false;
}
