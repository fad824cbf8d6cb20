import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cleanEnvironment, command } from './process.ts';

/** What the oldest of the go.mods asks for; Go gets itself what the others ask for. */
const LEAST = { major: 1, minor: 24 };

/** Why programs cannot be built with the Go of this machine, or nothing when it can. */
export function whyNotGo(): string | undefined {
  // In the project's folder a go.mod above it could choose another version.
  const { error, stdout } = spawnSync('go', ['version'], {
    cwd: tmpdir(),
    env: cleanEnvironment(),
    encoding: 'utf8',
  });
  return whyNotVersion(error ? undefined : stdout);
}

/** The same of what `go version` says; undefined when there is no go. */
export function whyNotVersion(version: string | undefined): string | undefined {
  if (version !== undefined && isNewEnough(version)) return undefined;
  const found = version === undefined ? 'there is no go on the PATH' : `this is ${describe(version)}`;
  return `needs Go ${LEAST.major}.${LEAST.minor} or newer; ${found}`;
}

/** To Go, what comes before the first release of a version (rc, beta, devel) is older than it. */
function isNewEnough(version: string): boolean {
  const found = /\b(?<devel>devel )?go(?<major>\d+)\.(?<minor>\d+)(?<early>rc|beta)?/.exec(version)?.groups;
  if (found === undefined) return false;
  const major = Number(found['major']);
  const minor = Number(found['minor']);
  if (major !== LEAST.major) return major > LEAST.major;
  if (minor !== LEAST.minor) return minor > LEAST.minor;
  return found['devel'] === undefined && found['early'] === undefined;
}

function describe(version: string): string {
  return version.trim().replace(/^go version /, '') || 'a go that does not say its version';
}

/** The user's proxies after the module cache: go alone asks one for news of a module even when it has that already. */
export async function cacheFirst(folder: string): Promise<string> {
  const { text } = await command('go', ['env', 'GOMODCACHE', 'GOPROXY'], { cwd: folder });
  const [cache = '', proxies = ''] = text.split('\n');
  return [pathToFileURL(join(cache, 'cache/download')).href, proxies].join(',');
}
