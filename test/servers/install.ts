/**
 * `npm run test:setup`: installs the servers and clients that tests talk to, as Debian packages, without letting any
 * of their daemons start, builds those in Go, and installs the one in Python. Quick when they are there; where it cannot
 * install, it says so and the tests do without.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { atExit } from './cleanup.ts';
import { whyNotGo } from './go.ts';
import { install as goInstall } from './go-install.ts';
import { messageOf } from '../conformance/messages.ts';
import { copySources, goSources, whyNoSource, type GoSource } from './go-sources.ts';
import { goProgramPlace, goPrograms, type GoProgram } from './go-programs.ts';
import { installMinistack, ministackName, ministackProgram, whyNotPython } from './ministack-install.ts';

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
  'python3-venv',
  'curl',
];

/** Packages of a few tests, which are skipped where these cannot be installed. */
const OPTIONAL_PACKAGES = [
  'podman',
  'apache2-utils',
  'openssl',
  'prometheus',
  'mmdebstrap',
  'haproxy',
  'caddy',
  'shellcheck',
];

/** Asked before a package starts its daemon; 101 is "not allowed" (invoke-rc.d(8)). */
const POLICY = '/usr/sbin/policy-rc.d';
const OUR_POLICY =
  '#!/bin/sh\n# Written by npm run test:setup of Stowage, for as long as it runs.\nexit 101\n';
const POLICY_KEPT = `${POLICY}.before-stowage`;

// Each waits for downloads much of its time.
const [exitCode] = await Promise.all([setup().then(afterPackages), buildAll()]);
process.exitCode = exitCode;

/** Returns the exit code. */
async function setup(): Promise<number> {
  if (!existsSync('/etc/debian_version')) return explain('this is not Debian', PACKAGES);
  const wanted = PACKAGES.filter((name) => !isInstalled(name));
  const optional = OPTIONAL_PACKAGES.filter((name) => !isInstalled(name));
  if (wanted.length + optional.length === 0) {
    console.log(`test servers: ${[...PACKAGES, ...OPTIONAL_PACKAGES].join(', ')} are installed`);
    return 0;
  }
  if (process.getuid?.() !== 0) return explain('this user is not root', [...wanted, ...optional]);
  const exitCode = wanted.length === 0 ? 0 : await install(wanted);
  if (exitCode === 0 && optional.length > 0 && (await install(optional)) !== 0)
    console.log(`test servers: some of ${optional.join(', ')} are missing; the tests of these are skipped`);
  return exitCode;
}

/** Installs what needs a package. @param exitCode of their installation, which is returned */
async function afterPackages(exitCode: number): Promise<number> {
  const skipped = 'Tests that need it are skipped and say so (with CI=true they fail).';
  const why = whyNotPython();
  if (existsSync(ministackProgram)) console.log(`test servers: ${ministackName} is installed`);
  else if (why !== undefined)
    console.log(`test servers: would install ${ministackName}, but that ${why}. ${skipped}`);
  else {
    console.log(`test servers: installing ${ministackName}`);
    await installMinistack().catch((error: unknown) => {
      console.log(`test servers: ${messageOf(error)}. ${skipped}`);
    });
  }
  return exitCode;
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

async function install(packages: string[]): Promise<number> {
  console.log(`test servers: installing ${packages.join(', ')}`);
  forbidDaemons();
  if (!(await apt('update'))) return 1;
  if (!(await apt('install', '--yes', '--no-install-recommends', ...packages))) return 1;
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

async function apt(...args: string[]): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const child = spawn('apt-get', ['--quiet', ...args], { env, stdio: 'inherit' });
  const why = await once(child, 'exit').then(() => whyFailed(child), String);
  if (why === undefined) return true;
  console.error(`test servers: apt-get ${args.join(' ')} failed (${why}); see its messages above.`);
  return false;
}

function whyFailed({ exitCode, signalCode }: ChildProcess): string | undefined {
  if (exitCode === 0) return undefined;
  return signalCode ? `ended by ${signalCode}` : `exit code ${String(exitCode)}`;
}

/** Builds the servers in Go that are not there. One that cannot be built is left out, and said so. */
async function buildAll(): Promise<void> {
  const names = Object.keys(goPrograms) as GoProgram[];
  const wanted = names.filter((name) => !existsSync(goProgramPlace(name).file));
  const why = wanted.length > 0 ? whyNotGo() : undefined;
  if (why !== undefined) {
    console.log(
      `test servers: would build ${wanted.join(', ')}, but that ${why}. Tests that need them are skipped and say so.`,
    );
    return;
  }
  await copyAll();
  for (const name of wanted) await build(name);
  if (wanted.length < names.length)
    console.log(`test servers: ${names.filter((name) => !wanted.includes(name)).join(', ')} are built`);
}

async function build(name: GoProgram): Promise<void> {
  console.log(`test servers: building ${name} (${goPrograms[name]})`);
  try {
    await goInstall(goPrograms[name], goProgramPlace(name).folder);
  } catch (error) {
    console.log(`test servers: ${messageOf(error)}. Tests that need it are skipped and say so.`);
  }
}

/** Copies what tests read of Go modules. One that cannot be downloaded is left out, and said so. */
async function copyAll(): Promise<void> {
  const names = (Object.keys(goSources) as GoSource[]).filter((name) => whyNoSource(name) !== undefined);
  if (names.length > 0 && whyNotGo() !== undefined) return;
  for (const name of names)
    try {
      await copySources(name);
    } catch (error) {
      console.log(`test servers: ${messageOf(error)}. Tests that need it are skipped and say so.`);
    }
}
