/**
 * `npm run test:clients -- [--only oras|crane|regctl|helm|cosign|buildkit|podman]…`: real clients written in Go work with
 * `npm run serve` and `npm start` on a folder, and with functions behind a gateway with API Gateway's limits and their data
 * plane at one address; with access control as well. They are built for it, and go when it ends. One that cannot be built is
 * left out.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { whyNotGo } from '../servers/go.ts';
import { command } from '../servers/process.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { whyMissing } from '../servers/requires.ts';
import {
  htpasswdRegistry,
  policyFunctions,
  policyRegistry,
  policyStart,
  type ProtectedRegistry,
} from '../access/protected-registry.ts';
import { ciFlows } from '../clients/ci-jobs.ts';
import { expiryFlows, loginFlows, policyFlows, type Subject } from '../clients/access.ts';
import { functionsAndDataPlane, serve, start, type Place, type Stowage } from '../servers/stowage.ts';
import { buildkit } from './buildkit.ts';
import { cosign } from './cosign.ts';
import { crane } from './crane.ts';
import { helm } from './helm.ts';
import { install } from '../servers/go-install.ts';
import { messageOf } from '../conformance/messages.ts';
import { podman } from './podman.ts';
import { parsed } from '../conformance/command-line.ts';
import { readOptions, usage, type ClientName } from './options.ts';
import { oras } from './oras.ts';
import { regctl } from './regctl.ts';
import { accessClients } from './access.ts';
import { RegistryView } from './registry-view.ts';
import { toolOf, type Flows, type GoClient, type Tool } from './tool.ts';

/** What they work with. */
const registries: readonly { readonly name: string; readonly start: (place: Place) => Promise<Stowage> }[] = [
  { name: 'npm run serve', start: serve },
  // The flows read its log.
  { name: 'npm start', start: async (place) => await start(place, { REGISTRY_LOG_LEVEL: 'info' }) },
  { name: 'functions with a data plane at one address', start: functionsAndDataPlane },
];

/** The same where one must log in, and what is checked there. */
const protectedRegistries: readonly {
  readonly name: string;
  readonly start: () => Promise<ProtectedRegistry>;
  readonly flows: (client: ClientName, subject: Subject) => Flows;
}[] = [
  {
    name: 'npm run serve with htpasswd',
    start: htpasswdRegistry,
    flows: (client, subject) => loginFlows(client, () => subject),
  },
  {
    name: 'npm run serve with a policy',
    start: policyRegistry,
    flows: (client, subject) => ({
      ...loginFlows(client, () => subject),
      ...policyFlows(client, () => subject),
      ...expiryFlows(client, () => subject),
    }),
  },
  {
    name: 'npm start with htpasswd',
    start: async () => await htpasswdRegistry(start),
    flows: (client, subject) => loginFlows(client, () => subject),
  },
  {
    name: 'npm start with a policy',
    start: policyStart,
    flows: functionFlows,
  },
  {
    name: 'functions with a data plane at one address, and a policy',
    start: policyFunctions,
    flows: functionFlows,
  },
];

function functionFlows(client: ClientName, subject: Subject): Flows {
  return { ...loginFlows(client, () => subject), ...policyFlows(client, () => subject) };
}

/** The quickest to build first. */
const clients: readonly GoClient<ClientName>[] = [oras, crane, regctl, helm, cosign, buildkit, podman];

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
async function allWork(chosen: readonly GoClient<ClientName>[]): Promise<boolean> {
  const folder = await temporaryFolder('go-clients');
  const count: Count = { passed: 0, failed: 0 };
  try {
    const programs = new Map<GoClient<ClientName>, string>();
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
        for (const [{ name: client, flows }, program] of programs) {
          const tool = await newTool(program, join(home, client), registry.address);
          await runFlows(client, flows(tool, new RegistryView(registry)), count);
        }
      } finally {
        await registry.stop();
      }
    }
    await allLogIn(programs, folder.path, count);
    await allBuild(programs, folder.path, count);
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
    if (typeof target === 'object' && 'installed' in target) {
      if (process.getuid?.() !== 0) throw new Error('it needs root');
      console.log(`${name} is ${(await command(target.installed, ['--version'])).text}`);
      return target.installed;
    }
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

/** Checks the access of those clients that can log in. */
async function allLogIn(
  programs: ReadonlyMap<GoClient<ClientName>, string>,
  folder: string,
  count: Count,
): Promise<void> {
  for (const [index, { name, start, flows }] of protectedRegistries.entries()) {
    if (programs.size > 0) console.log(`\n${name}`);
    const registry = await start();
    try {
      for (const [{ name: client }, program] of programs) {
        const tool = await newTool(program, join(folder, `access-${index}`, client), registry.address);
        const ready = await accessClients[client]?.(tool);
        if (ready !== undefined) await runFlows(client, flows(client, { client: ready, registry }), count);
      }
    } finally {
      await registry.stop();
    }
  }
}

/**
 * Builds of 90 minutes, with registries whose clocks are moved. Not with npm start: serverless-offline runs the functions in
 * threads whose clock cannot be moved from outside.
 */
async function allBuild(
  programs: ReadonlyMap<GoClient<ClientName>, string>,
  folder: string,
  count: Count,
): Promise<void> {
  for (const [{ name, ci }, program] of programs) {
    if (ci === undefined) continue;
    console.log(`\n${name} in a CI job`);
    await runFlows(name, ciFlows(ci(await newTool(program, join(folder, 'ci', name), ''))), count);
  }
}

async function newTool(program: string, home: string, address: string): Promise<Tool> {
  await mkdir(home, { recursive: true });
  return toolOf(program, home, address);
}

interface Count {
  passed: number;
  failed: number;
}

async function runFlows(name: ClientName, flows: Flows, count: Count): Promise<void> {
  for (const [what, flow] of Object.entries(flows)) {
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
