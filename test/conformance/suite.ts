import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanEnvironment, command } from '../servers/process.ts';
import { cacheFirst, whyNotGo } from '../servers/go.ts';
import { messageOf } from './messages.ts';
import { readResults, type Results } from './results.ts';

/** The official suite, a program in Go. */
export const suiteModule = 'github.com/opencontainers/distribution-spec/conformance';
export const suiteVersion = 'v0.0.0-20260831232431-97274622c111';

/** Versions of the specification, as the suite calls them. */
export const specVersions = ['1.1', 'dev'] as const;
export type SpecVersion = (typeof specVersions)[number];

/**
 * All that is off by default and that the registry can do. Sparse manifests stay off: a manifest is accepted only when
 * what it names is there.
 */
const settings = {
  OCI_TLS: 'disabled',
  OCI_API_BLOBS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_DIGEST_HEADER: 'true',
  OCI_API_BLOBS_UPLOAD_CANCEL: 'true',
  OCI_API_MANIFESTS_TAG_PARAM: 'true',
  OCI_DATA_SHA512: 'true',
};

/** The suite, ready to run. */
export interface Suite {
  /**
   * Runs it for one version against a registry, in two repositories that nobody has used.
   * @param folder is made, and gets the suite's reports
   */
  run(address: string, version: SpecVersion, folder: string): Promise<Results>;
}

/** Builds the suite into a folder. Rejects, in one line, where that cannot be done. */
export async function installSuite(folder: string): Promise<Suite> {
  const why = whyNotGo();
  if (why !== undefined) throw new Error(why);
  const target = `${suiteModule}@${suiteVersion}`;
  try {
    const env = cleanEnvironment({ GOBIN: folder, GOPROXY: await cacheFirst(folder) });
    await command('go', ['install', target], { cwd: folder, env });
  } catch (error) {
    const reason = lastLine(messageOf(error)).replaceAll(`${target}: `, '');
    throw new Error(`needs ${target}, which cannot be installed: ${reason}`, { cause: error });
  }
  return {
    run: async (address, version, results) =>
      await run(join(folder, 'conformance'), address, version, results),
  };
}

async function run(program: string, address: string, version: SpecVersion, folder: string): Promise<Results> {
  await mkdir(folder, { recursive: true });
  const name = `conformance/${randomBytes(4).toString('hex')}`;
  const env = {
    ...withoutOwnSettings(cleanEnvironment()),
    ...settings,
    OCI_REGISTRY: address,
    OCI_REPO1: `${name}-1`,
    OCI_REPO2: `${name}-2`,
    OCI_RESULTS_DIR: folder,
    OCI_VERSION: version,
  };
  // It exits with 1 where a test fails, and with 0 where it cannot even begin: the reports alone tell.
  const said = await command(program, [], { cwd: folder, env }).then(({ errors }) => errors, messageOf);
  try {
    return await readResults(folder);
  } catch (error) {
    throw new Error(`the suite left no whole report: ${messageOf(error)}\n${said}`, { cause: error });
  }
}

function withoutOwnSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('OCI_')));
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
