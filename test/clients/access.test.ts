import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { passwordOf } from '../access/policy-registry.ts';
import {
  htpasswdRegistry,
  policyStart,
  policyRegistry,
  type ProtectedRegistry,
} from '../access/protected-registry.ts';
import { containerd, type Containerd } from '../servers/containerd.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { skopeo, type Skopeo } from '../servers/skopeo.ts';
import { containerdClient } from './access-containerd.ts';
import { dockerClient } from './access-docker.ts';
import { skopeoClient } from './access-skopeo.ts';
import { expiryFlows, loginFlows, policyFlows, type AccessClient, type Flows } from './access.ts';

const folder = await temporaryFolder('access-clients');
const started: Promise<ProtectedRegistry>[] = [];
let basic: ProtectedRegistry;
let policy: ProtectedRegistry;

const start = async (registry: Promise<ProtectedRegistry>) => {
  started.push(registry);
  return await registry;
};

before(async () => {
  [basic, policy] = await Promise.all([start(htpasswdRegistry()), start(policyRegistry())]);
});

after(async () => {
  for (const registry of started) await (await registry).stop();
  folder.remove();
});

function run(flows: Flows): void {
  for (const [title, flow] of Object.entries(flows)) it(title, flow);
}

function allFlows(name: string, client: () => AccessClient): void {
  describe('with htpasswd', () => {
    run(loginFlows(name, () => ({ client: client(), registry: basic })));
  });
  describe('with a policy', () => {
    run(loginFlows(name, () => ({ client: client(), registry: policy })));
    run(policyFlows(name, () => ({ client: client(), registry: policy })));
    run(expiryFlows(name, () => ({ client: client() })));
  });
}

describe('docker', requires('dockerd'), () => {
  let daemon: Dockerd;
  let client: AccessClient;

  before(async () => {
    daemon = await dockerd();
    client = await dockerClient(daemon, folder.path);
  });

  after(async () => {
    await daemon.stop();
  });

  allFlows('docker', () => client);

  it('docker keeps a refresh token of a registry with a policy, and not the password', async () => {
    await client.login(policy.address, 'alice', passwordOf('alice'));
    const { auths } = JSON.parse(await daemon.config()) as { auths: Record<string, Login> };
    const { auth = '', identitytoken } = auths[policy.address] ?? {};
    assert.equal(Buffer.from(auth, 'base64').toString(), 'alice:');
    assert.match(identitytoken ?? '', /^stowage_refresh_/);
    await client.logout(policy.address);
  });

  describe('with a policy, through stowage start', () => {
    let registry: ProtectedRegistry;

    before(async () => {
      registry = await start(policyStart());
    });

    run(loginFlows('docker', () => ({ client, registry })));
  });
});

/** What docker keeps of a login. */
interface Login {
  readonly auth?: string;
  readonly identitytoken?: string;
}

describe('skopeo', requires('skopeo'), () => {
  let program: Skopeo;
  let client: AccessClient;

  before(async () => {
    program = await skopeo();
    client = await skopeoClient(program);
  });

  after(() => {
    program.remove();
  });

  allFlows('skopeo', () => client);
});

describe('containerd', requires('containerd'), () => {
  let daemon: Containerd;
  let client: AccessClient;

  before(async () => {
    daemon = await containerd();
    client = await containerdClient(daemon, folder.path);
  });

  after(async () => {
    await daemon.stop();
  });

  allFlows('containerd', () => client);
});
