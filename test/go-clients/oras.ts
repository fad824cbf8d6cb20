import assert from 'node:assert/strict';
import type { CiClient } from '../clients/ci-jobs.ts';
import { digestOf } from '../clients/images.ts';
import { goPrograms } from '../servers/go-programs.ts';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const oras: GoClient<'oras'> = { name: 'oras', target: goPrograms.oras, flows, ci };

const app = 'oras/app';
const copy = 'oras/copy/of/app';

/** What `oras discover` finds, as JSON. */
interface Referrer {
  readonly digest: string;
  readonly artifactType: string;
  readonly referrers: readonly Referrer[];
}

function flows(tool: Tool, registry: RegistryView): Flows {
  const named = (reference: string) => `${tool.address}/${reference}`;
  let digest = '';

  /** @param words of the command, such as `manifest fetch` */
  const run = async (words: string, ...args: string[]) =>
    await tool.run(...words.split(' '), '--plain-http', ...args);

  const digestAt = async (reference: string) => (await run('resolve', named(reference))).text;

  const discover = async (reference: string, ...flags: string[]) => {
    const { text } = await run('discover', '--format', 'json', ...flags, named(reference));
    return (JSON.parse(text) as { referrers: Referrer[] }).referrers;
  };

  const attach = async (subject: string, type: string, file: string) => {
    const { text } = await run('attach', '--format', 'json', '--artifact-type', type, named(subject), file);
    return (JSON.parse(text) as { digest: string }).digest;
  };

  /** Pulls into a new folder and compares the files. */
  const pulls = async (reference: string, ...files: string[]) => {
    const folder = `pulled-${reference.replace(/\W/g, '-')}`;
    await run('pull', '--output', tool.path(folder), named(reference));
    for (const file of files)
      assert.ok(
        (await tool.read(`${folder}/${file}`)).equals(await tool.read(file)),
        `${file} has other bytes`,
      );
  };

  return {
    'pushes an artifact of files and pulls the same bytes, by tag and by digest': async () => {
      await tool.write('small.txt', 'small\n');
      await tool.write('big.bin', 12_000_000);
      const files = ['small.txt:text/plain', 'big.bin'];
      await run('push', '--artifact-type', 'application/vnd.test.app', named(`${app}:1`), ...files);
      digest = await digestAt(`${app}:1`);
      await pulls(`${app}:1`, 'small.txt', 'big.bin');
      await pulls(`${app}@${digest}`, 'small.txt', 'big.bin');
    },

    'attaches artifacts, which need no tag': async () => {
      await tool.write('signature', 'a signature');
      // Not the bytes of an empty config, which is a blob as well.
      await tool.write('sbom.json', '{"packages":[]}');
      const signature = await attach(`${app}:1`, 'test/signature', 'signature');
      await attach(`${app}:1`, 'test/sbom', 'sbom.json');
      await attach(`${app}@${signature}`, 'test/signature-of-it', 'signature');
      assert.deepEqual(await registry.referrers(app, digest), ['test/sbom', 'test/signature']);
      assert.deepEqual(await registry.tags(app), ['1']);
    },

    'discovers them, all or those of a type': async () => {
      const all = await discover(`${app}:1`);
      assert.deepEqual(typesOf(all), ['test/sbom', 'test/signature', 'test/signature-of-it']);
      assert.deepEqual(typesOf(await discover(`${app}:1`, '--artifact-type', 'test/sbom')), ['test/sbom']);
      assert.deepEqual(typesOf(await discover(`${app}:1`, '--artifact-type', 'test/none')), []);
      assert.equal(registry.answers('GET', app, `referrers/${digest}`).includes(200), true);
    },

    'copies to another repository with all that is attached': async () => {
      const plain = ['--from-plain-http', '--to-plain-http'];
      await tool.run('cp', '--recursive', ...plain, named(`${app}:1`), named(`${copy}:1`));
      assert.equal(await digestAt(`${copy}:1`), digest);
      assert.deepEqual(typesOf(await discover(`${copy}:1`)), [
        'test/sbom',
        'test/signature',
        'test/signature-of-it',
      ]);
      assert.deepEqual(await registry.tags(copy), ['1']);
      await pulls(`${copy}:1`, 'small.txt', 'big.bin');
    },

    'mounts the blobs as it copies': () => {
      // The two files, those attached, and the empty config that all share.
      const begun = registry.answers('POST', copy, 'blobs/uploads/');
      assert.ok(begun.length >= 5, String(begun));
      assert.deepEqual(new Set(begun), new Set([201]));
      return Promise.resolve();
    },

    'copies to a layout and back': async () => {
      const layout = `${tool.path('layout')}:1`;
      await tool.run('cp', '--recursive', '--from-plain-http', '--to-oci-layout', named(`${app}:1`), layout);
      const back = named('oras/back:1');
      await tool.run('cp', '--recursive', '--from-oci-layout', '--to-plain-http', layout, back);
      assert.equal(await digestAt('oras/back:1'), digest);
      assert.deepEqual(await registry.referrers('oras/back', digest), ['test/sbom', 'test/signature']);
    },

    'gives several tags, and lists them': async () => {
      await run('tag', named(`${app}:1`), '2', '3', 'latest');
      assert.deepEqual((await run('repo tags', named(app))).text.split('\n'), ['1', '2', '3', 'latest']);
      const after = await run('repo tags', '--last', '2', named(app));
      assert.deepEqual(after.text.split('\n'), ['3', 'latest']);
      for (const tag of ['2', '3', 'latest']) assert.equal(await digestAt(`${app}:${tag}`), digest);
    },

    'pushes under several tags at once, and moves one': async () => {
      await tool.write('other.txt', 'other\n');
      await run('push', named(`${app}:3,4`), 'other.txt');
      assert.deepEqual(await registry.tags(app), ['1', '2', '3', '4', 'latest']);
      assert.notEqual(await digestAt(`${app}:3`), digest);
      assert.equal(await digestAt(`${app}:3`), await digestAt(`${app}:4`));
    },

    'lists the repositories': async () => {
      const { text } = await run('repo ls', tool.address);
      assert.deepEqual(
        text.split('\n').filter((name) => name.startsWith('oras/')),
        ['oras/app', 'oras/back', 'oras/copy/of/app'],
      );
      assert.deepEqual((await run('repo ls', named('oras/copy'))).text.split('\n'), ['of/app']);
    },

    'pushes a blob, fetches it and deletes it': async () => {
      const bytes = await tool.write('blob', 3_000_000);
      const blob = named(`oras/blobs@${digestOf(bytes)}`);
      await run('blob push', blob, 'blob');
      await run('blob fetch', '--output', tool.path('fetched'), blob);
      assert.ok((await tool.read('fetched')).equals(bytes));
      await run('blob delete', '--force', blob);
      await assert.rejects(run('blob fetch', '--descriptor', blob), /not found/);
    },

    'fetches a manifest and pushes the same elsewhere': async () => {
      const { bytes } = await run('manifest fetch', named(`${app}:1`));
      assert.equal(digestOf(bytes), digest);
      await tool.write('manifest.json', bytes);
      await run('manifest push', named(`${copy}:pushed`), 'manifest.json');
      assert.equal(await digestAt(`${copy}:pushed`), digest);
    },

    'makes an index of manifests, and pulls through it': async () => {
      await run('manifest index create', named(`${app}:index`), '1', '4');
      const { text } = await run('manifest fetch', named(`${app}:index`));
      const { manifests } = JSON.parse(text) as { manifests: { digest: string }[] };
      assert.deepEqual(
        manifests.map((manifest) => manifest.digest),
        [digest, await digestAt(`${app}:4`)],
      );
      await pulls(`${app}:index`, 'small.txt', 'big.bin', 'other.txt');
    },

    'deletes an attached manifest, which is then discovered no more': async () => {
      const [sbom] = await discover(`${app}:1`, '--artifact-type', 'test/sbom');
      await run('manifest delete', '--force', named(`${app}@${sbom?.digest ?? ''}`));
      assert.deepEqual(typesOf(await discover(`${app}:1`)), ['test/signature', 'test/signature-of-it']);
      assert.equal((await discover(`${copy}:1`)).length, 2);
    },

    'deletes a manifest with its tags': async () => {
      await run('manifest delete', '--force', named(`${app}:1`));
      assert.deepEqual(await registry.tags(app), ['3', '4', 'index']);
      await assert.rejects(run('manifest fetch', named(`${app}@${digest}`)), /not found/);
      assert.equal(await digestAt(`${copy}:1`), digest);
    },
  };
}

/** Of these and of what is attached to them, sorted. */
function typesOf(referrers: readonly Referrer[]): string[] {
  return referrers.flatMap(({ artifactType, referrers: more }) => [artifactType, ...typesOf(more)]).sort();
}

function ci(tool: Tool): CiClient {
  return {
    keeps: 'the job token',
    asks: { login: ['the job token, by GET'], stored: ['our token as password, by GET'] },
    file: tool.path('.docker/config.json'),
    login: async (address, password) =>
      await tool.run('login', '--plain-http', '--username', 'oidc', '--password', password, address),
    push: async (reference) => {
      await tool.write('ci', 1000);
      await tool.run('push', '--plain-http', reference, 'ci');
    },
  };
}
