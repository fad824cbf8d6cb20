import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { goProgramPlace, goPrograms, type GoProgram } from './go-programs.ts';
import { ministackName, ministackProgram } from './ministack-install.ts';

/** A program of Debian's that tests talk to, whether it runs for root alone, and whether a few tests alone need it. */
const DEBIAN = {
  dockerd: { root: true },
  containerd: { root: true },
  runc: { root: true },
  podman: { root: true, optional: true },
  mmdebstrap: { root: true, optional: true },
  skopeo: { root: false },
  'docker-registry': { root: false },
  'swift-proxy-server': { root: false },
  mariadbd: { root: false },
  curl: { root: false },
  htpasswd: { root: false, optional: true },
  openssl: { root: false, optional: true },
  script: { root: false, optional: true },
  prometheus: { root: false, optional: true },
  promtool: { root: false, optional: true },
  'systemd-analyze': { root: false, optional: true },
  haproxy: { root: false, optional: true },
  shellcheck: { root: false, optional: true },
  caddy: { root: false, optional: true },
} as const satisfies Record<string, { root: boolean; optional?: true }>;

export type ServerName = keyof typeof DEBIAN | GoProgram | 'ministack';

/** Options for node:test's `describe` and `it`. */
export interface Requirement {
  readonly skip?: string;
  readonly signal?: AbortSignal;
}

/**
 * Options that let a test run where the servers it needs can be started. Elsewhere it is skipped and says why; with
 * `CI=true` it fails with that reason, because there a missing server is a mistake in the setup; but not an optional one, nor
 * one that is built with Go, which nothing here installs, and which may be offline.
 *
 *     describe('docker', requires('dockerd'), () => { … });
 */
export function requires(...names: ServerName[]): Requirement {
  const [optional] = names.filter(isOptional).flatMap((name) => whyMissing(name) ?? []);
  if (optional !== undefined) return { skip: optional };
  const [reason] = names.flatMap((name) => whyMissing(name) ?? []);
  if (reason === undefined) return {};
  if (process.env['CI'] !== 'true') return { skip: reason };
  // A test or suite whose signal is aborted does not run and fails with the signal's reason.
  return { signal: AbortSignal.abort(new Error(reason)) };
}

function isOptional(name: ServerName): boolean {
  return name !== 'ministack' && (isInGo(name) || 'optional' in DEBIAN[name]);
}

function isInGo(name: ServerName): name is GoProgram {
  return Object.hasOwn(goPrograms, name);
}

/** Why a program cannot be started here, or nothing when it can. */
export function whyMissing(name: ServerName): string | undefined {
  if (isInGo(name))
    return isExecutable(goProgramPlace(name).file)
      ? undefined
      : `needs ${goPrograms[name]}, which npm run test:setup builds where Go is`;
  if (name === 'ministack')
    return isExecutable(ministackProgram)
      ? undefined
      : `needs ${ministackName}, which npm run test:setup installs where Python is`;
  if (!onPath(name)) return `needs ${name}, which npm run test:setup installs as root`;
  if (DEBIAN[name].root && process.getuid?.() !== 0) return `needs root, to run ${name}`;
  return undefined;
}

/** Whether a program can be found the way `spawn` finds it. */
function onPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => isExecutable(join(folder, program)));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
