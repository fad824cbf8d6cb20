/**
 * `npm run test:clients -- [--only oras|crane|regctl|helm|cosign|buildkit]…`: real clients written in Go work with
 * `npm run serve` on a folder, and with functions and their data plane at one address. They are built for it, and go when it
 * ends. One that cannot be built is left out.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { whyNotGo } from '../servers/go.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { whyMissing } from '../servers/requires.ts';
import { functionsAndDataPlane, serve, type Place, type Stowage } from '../servers/stowage.ts';
import { buildkit } from './buildkit.ts';
import { cosign } from './cosign.ts';
import { crane } from './crane.ts';
import { helm } from './helm.ts';
import { install } from '../servers/go-install.ts';
import { messageOf } from '../conformance/messages.ts';
import { parsed } from '../conformance/command-line.ts';
import { readOptions, usage, type ClientName } from './options.ts';
import { oras } from './oras.ts';
import { regctl } from './regctl.ts';
import { RegistryView } from './registry-view.ts';
import { toolOf, type GoClient } from './tool.ts';

/** What they work with. */
const registries: readonly { readonly name: string; readonly start: (place: Place) => Promise<Stowage> }[] = [
  { name: 'npm run serve', start: serve },
  { name: 'functions with a data plane at one address', start: functionsAndDataPlane },
];

/** The quickest to build first. */
const clients: readonly GoClient<ClientName>[] = [oras, crane, regctl, helm, cosign, buildkit];

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parsed(() => readOptions(args), usage);
  if (typeof options === 'number') return options;
  const why = whyNotGo();
  if (why !== undefined) {
    console.error(`npm run test:clients ${why}`);
    return 1;
  }
  try {
    const chosen = clients.filter(({ name }) => options.only?.includes(name) ?? true);
    return (await allWork(chosen)) ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}

/** Returns whether there was a client, and every flow went well. */
async function allWork(chosen: readonly GoClient[]): Promise<boolean> {
  const folder = await temporaryFolder('go-clients');
  const count = { passed: 0, failed: 0 };
  try {
    const programs = new Map<GoClient, string>();
    for (const client of chosen) {
      const program = await installed(client, folder.path);
      if (program !== undefined) programs.set(client, program);
    }
    for (const [index, { name, start }] of registries.entries()) {
      if (programs.size > 0) console.log(`\n${name}`);
      const home = join(folder.path, String(index));
      await mkdir(home);
      const registry = await start(join(home, 'registry'));
      try {
        for (const [client, program] of programs) await runFlows(client, program, home, registry, count);
      } finally {
        await registry.stop();
      }
    }
  } finally {
    folder.remove();
  }
  if (count.passed + count.failed === 0) console.error('\nno client could be installed');
  console.log(`\n${count.passed} passed, ${count.failed} failed`);
  return count.failed === 0 && count.passed > 0;
}

/** The client's program, or nothing where there is none; either is said. */
async function installed({ name, target, needs }: GoClient, folder: string): Promise<string | undefined> {
  const began = performance.now();
  const why = needs && whyMissing(needs);
  if (why !== undefined) {
    console.log(`${name} is left out: ${why}`);
    return undefined;
  }
  try {
    const program = await install(target, join(folder, 'bin'));
    console.log(
      `${name} is ${typeof target === 'string' ? target : target.module}, installed in ${seconds(began)}`,
    );
    return program;
  } catch (error) {
    console.log(`${name} is left out: ${messageOf(error)}`);
    return undefined;
  }
}

async function runFlows(
  { name, flows }: GoClient,
  program: string,
  folder: string,
  registry: Stowage,
  count: { passed: number; failed: number },
): Promise<void> {
  const home = join(folder, name);
  await mkdir(home);
  const tool = toolOf(program, home, registry.address);
  for (const [what, flow] of Object.entries(flows(tool, new RegistryView(registry)))) {
    const began = performance.now();
    try {
      await flow();
      count.passed++;
      console.log(`ok ${name}: ${what} (${seconds(began)})`);
    } catch (error) {
      count.failed++;
      console.log(
        `FAILED ${name}: ${what} (${seconds(began)})\n${messageOf(error).replace(/^(?=.)/gm, '   ')}`,
      );
    }
  }
}

function seconds(began: number): string {
  return `${((performance.now() - began) / 1000).toFixed(1)} s`;
}
