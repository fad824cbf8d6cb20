import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { functionNames } from '../../infra/gateway.ts';
import { filesOf, packagesFile, type Packages } from '../../infra/packages/packages.ts';
import type { Feature } from '../../infra/packages/optional.ts';
import { keepLog, keepSecrets } from '../logs/kept.ts';
import { atExit } from './cleanup.ts';
import { temporaryFolder, type Folder } from './folder.ts';
import type { LambdaFunction } from './gateway.ts';
import { cleanEnvironment } from './process.ts';

const root = join(import.meta.dirname, '../..');

/** Deployed functions: each unpacked into a folder of its own, which it sees alone. */
export interface PackagedFunctions {
  /** By name. Each starts at its first event. */
  readonly functions: Readonly<Record<string, LambdaFunction>>;
  /** Runs a job. Rejects if it does. */
  run(name: string): Promise<void>;
  /** All that the functions wrote. */
  output(): string;
  stop(): Promise<void>;
}

/** @param settingsOf the environment of a function */
export async function packagedFunctions(
  features: readonly Feature[],
  settingsOf: (name: string) => Readonly<Record<string, string>>,
): Promise<PackagedFunctions> {
  const folder = await temporaryFolder('packages');
  const outputs: string[] = [];
  const processes = new Map<string, Promise<FunctionProcess>>();
  const start = async (name: string) => {
    await unpackFunction(name, features, join(folder.path, name));
    return new FunctionProcess(join(folder.path, name), name, settingsOf(name), outputs);
  };
  const invoke = async (name: string, event: object) => {
    const process = processes.get(name) ?? start(name);
    processes.set(name, process);
    return await (await process).invoke(event);
  };
  return {
    functions: Object.fromEntries(
      functionNames.map((name) => [name, (async (event) => await invoke(name, event)) as LambdaFunction]),
    ),
    run: async (name) => {
      await invoke(name, {});
    },
    output: () => outputs.join(''),
    stop: async () => {
      await stopAll([...processes.values()], folder);
    },
  };
}

/** Lambda gives a function the keys of its role in the environment. */
export function asInLambda(settings: Readonly<Record<string, string>>): Record<string, string> {
  const {
    REGISTRY_STORAGE_S3_ACCESSKEY: AWS_ACCESS_KEY_ID = '',
    REGISTRY_STORAGE_S3_SECRETKEY: AWS_SECRET_ACCESS_KEY = '',
    ...others
  } = settings;
  return {
    ...others,
    AWS_ACCESS_KEY_ID,
    AWS_LAMBDA_FUNCTION_NAME: 'stowage-test',
    AWS_REGION: 'eu-central-1',
    AWS_SECRET_ACCESS_KEY,
  };
}

async function stopAll(processes: readonly Promise<FunctionProcess>[], folder: Folder): Promise<void> {
  for (const one of processes) await (await one).stop();
  folder.remove();
}

/** Copies the package of a function, as it was last built, into an empty folder. */
export async function unpackFunction(
  name: string,
  features: readonly Feature[],
  folder: string,
): Promise<void> {
  const packages = JSON.parse(await readFile(join(root, packagesFile), 'utf8')) as Packages;
  const files = packages[name] === undefined ? [] : filesOf(packages[name], features);
  for (const file of files) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await copyFile(join(root, file), join(folder, file));
  }
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

class FunctionProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  #calls = 0;

  constructor(folder: string, name: string, settings: Readonly<Record<string, string>>, outputs: string[]) {
    keepSecrets(settings);
    this.#child = fork(
      join(import.meta.dirname, 'packaged-function.ts'),
      [join(folder, `dist/functions/${name}.mjs`)],
      {
        cwd: folder,
        env: cleanEnvironment(settings),
        execArgv: [],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      },
    );
    this.#exit = once(this.#child, 'exit');
    const forget = atExit(() => this.#child.kill('SIGKILL'));
    void this.#exit.then(forget);
    const keep = keepLog();
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        keep(text);
        outputs.push(text);
      });
  }

  async invoke(event: object): Promise<unknown> {
    const id = (this.#calls += 1);
    const answer = new Promise<Answer>((resolve, reject) => {
      const listen = (message: Answer) => {
        if (message.id !== id) return;
        this.#child.off('message', listen);
        resolve(message);
      };
      this.#child.on('message', listen);
      void this.#exit.then(() => {
        reject(new Error('the function has ended'));
      });
    });
    this.#child.send({ id, event });
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(error);
    return result;
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exit;
  }
}
