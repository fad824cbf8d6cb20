import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CiClient } from '../clients/ci-jobs.ts';
import type { GoModule } from '../servers/go-install.ts';
import { command, launch, type Output, type Server } from '../servers/process.ts';
import type { ServerName } from '../servers/requires.ts';
import type { RegistryView } from './registry-view.ts';

/** A client that is written in Go, and its checks. */
export interface GoClient<Name extends string = string> {
  readonly name: Name;
  /** The package of its program, with the version of its module. */
  readonly target: string | GoModule | InstalledProgram;
  /** What it runs beside the programs of its module. */
  readonly needs?: ServerName;
  /** In order: later ones may need what earlier ones left in the registry. */
  readonly flows: (tool: Tool, registry: RegistryView) => Flows;
  /** How it logs in and pushes in a CI job, against registries of its own. */
  readonly ci?: (tool: Tool) => CiClient;
}

/** A program that this machine has or has not, and that needs root. */
export interface InstalledProgram {
  readonly installed: string;
}

/** Checks of a client by title. A failed check rejects. */
export type Flows = Readonly<Record<string, () => Promise<void>>>;

/** A client that is installed, with a folder and settings of its own. */
export interface Tool {
  /** Of the registry. */
  readonly address: string;
  /** Its file. */
  readonly program: string;
  run(...args: string[]): Promise<Output>;
  /** The same in another folder below the client's, or with a file as its standard input. */
  runWith(place: { readonly folder?: string; readonly input?: string }, ...args: string[]): Promise<Output>;
  /** Starts another program as `launch` does, with the client's settings. */
  launch(program: string, args: readonly string[], ready: () => Promise<boolean>): Promise<Server>;
  /** Where a file or folder of this name is. */
  path(name: string): string;
  newFolder(name: string): Promise<string>;
  /** Writes a file, of random bytes where only their number is given. */
  write(name: string, content: string | Buffer | number): Promise<Buffer>;
  read(name: string): Promise<Buffer>;
}

/** @param home an empty folder, in which the client runs */
export function toolOf(program: string, home: string, address: string): Tool {
  const env = environment(home);
  const path = (name: string) => join(home, name);
  const newFolder = async (name: string) => {
    await mkdir(path(name), { recursive: true });
    return path(name);
  };
  const runWith: Tool['runWith'] = async ({ folder = '', input }, ...args) => {
    const options = { cwd: path(folder), env };
    if (input === undefined) return await command(program, args, options);
    return await command('sh', ['-c', 'exec "$0" "$@" <"$INPUT"', program, ...args], {
      ...options,
      env: { ...env, INPUT: path(input) },
    });
  };
  return {
    address,
    program,
    launch: async (other, args, ready) => await launch(other, args, ready, { cwd: home, env }),
    run: async (...args) => await runWith({}, ...args),
    runWith,
    path,
    newFolder,
    write: async (name, content) => {
      const bytes = typeof content === 'number' ? randomBytes(content) : Buffer.from(content);
      await mkdir(dirname(path(name)), { recursive: true });
      await writeFile(path(name), bytes);
      return bytes;
    },
    read: async (name) => await readFile(path(name)),
  };
}

/** No user settings and no access to other machines: Go's clients use no proxy for loopback. */
function environment(home: string): NodeJS.ProcessEnv {
  const nowhere = 'http://127.0.0.1:9';
  return {
    PATH: process.env['PATH'],
    HOME: home,
    TMPDIR: home,
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    // For the keys it makes; without one it asks.
    COSIGN_PASSWORD: 'secret',
  };
}
