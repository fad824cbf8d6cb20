import assert from 'node:assert/strict';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const cosign: GoClient<'cosign'> = {
  name: 'cosign',
  target: 'github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3',
  flows,
};

const app = 'cosign/app';
const all = 'cosign/all';
const copy = 'cosign/copy/of/app';

/** What a signature is attached as, and an attestation too. */
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** With nothing of Sigstore's services. */
const offline = ['--tlog-upload=false', '--use-signing-config=false', '--yes'];

function flows(tool: Tool, registry: RegistryView): Flows {
  const named = (reference: string) => `${tool.address}/${reference}`;
  const run = async (command: string, ...args: string[]) =>
    await tool.run(command, '--allow-http-registry', ...args);
  const upload = async (reference: string) => {
    const files = ['-f', 'amd64:linux/amd64', '-f', 'arm64:linux/arm64'];
    await tool.run('upload', 'blob', '--allow-http-registry', ...files, named(reference));
  };
  const sign = async (reference: string, ...flags: string[]) =>
    await run('sign', '--key', 'right.key', ...offline, ...flags, named(reference));
  const verify = async (reference: string, ...flags: string[]) =>
    await run('verify', '--key', 'right.pub', '--insecure-ignore-tlog', ...flags, named(reference));
  let digest = '';

  return {
    'uploads files as an artifact for several platforms': async () => {
      for (const platform of ['amd64', 'arm64']) await tool.write(platform, 100_000);
      await upload(`${app}:1`);
      digest = (await run('triangulate', '--type', 'digest', named(`${app}:1`))).text.split('@')[1] ?? '';
      assert.match(digest, /^sha256:/);
    },

    'signs, and attaches the signature without a tag': async () => {
      for (const key of ['right', 'wrong']) await tool.run('generate-key-pair', '--output-key-prefix', key);
      await sign(`${app}@${digest}`);
      assert.deepEqual(await registry.referrers(app, digest), [BUNDLE]);
      assert.deepEqual(await registry.tags(app), ['1']);
    },

    'verifies with the right key alone': async () => {
      assert.match((await verify(`${app}:1`)).text, new RegExp(digest));
      assert.ok(registry.answers('GET', app, `referrers/${digest}`).includes(200));
      const wrong = run('verify', '--key', 'wrong.pub', '--insecure-ignore-tlog', named(`${app}:1`));
      await assert.rejects(wrong, /invalid signature|no matching/);
    },

    'attests, and verifies the attestation': async () => {
      await tool.write('predicate.json', '{"tested":true}');
      const predicate = ['--type', 'https://test/predicate', '--predicate', 'predicate.json'];
      await run('attest', '--key', 'right.key', ...offline, ...predicate, named(`${app}@${digest}`));
      assert.deepEqual(await registry.referrers(app, digest), [BUNDLE, BUNDLE]);
      const checks = ['--key', 'right.pub', '--insecure-ignore-tlog', '--type', 'https://test/predicate'];
      const { text } = await run('verify-attestation', ...checks, named(`${app}:1`));
      assert.match(text, /"payload"/);
    },

    'signs an index with all its manifests': async () => {
      await upload(`${all}:1`);
      await sign(`${all}:1`, '--recursive');
      await verify(`${all}:1`);
    },

    'signs in the old way, with a tag': async () => {
      await sign(`${all}:1`, '--new-bundle-format=false');
      await verify(`${all}:1`, '--new-bundle-format=false');
      assert.ok((await registry.tags(all)).some((tag) => /^sha256-[0-9a-f]{64}\.sig$/.test(tag)));
    },

    'copies with the signatures that have a tag': async () => {
      await run('copy', named(`${all}:1`), named(`${copy}:1`));
      await verify(`${copy}:1`, '--new-bundle-format=false');
    },

    'shows the tree': async () => {
      const { text } = await run('tree', named(`${app}:1`));
      assert.match(text, /https:\/\/sigstore\.dev\/cosign\/sign\/v1 artifacts via OCI referrer/);
      assert.match(text, /https:\/\/test\/predicate artifacts via OCI referrer/);
    },

    'cleans all away': async () => {
      await run('clean', '--force', '--type', 'all', named(`${app}:1`));
      assert.deepEqual(await registry.referrers(app, digest), []);
      await assert.rejects(verify(`${app}:1`), /no signatures found/);
    },
  };
}
