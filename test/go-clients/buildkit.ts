import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { cleanEnvironment, command } from '../servers/process.ts';
import type { RegistryView } from './registry-view.ts';
import type { Flows, GoClient, Tool } from './tool.ts';

export const buildkit: GoClient<'buildkit'> = {
  name: 'buildkit',
  target: { module: 'github.com/moby/buildkit@v0.24.0', programs: ['./cmd/buildctl', './cmd/buildkitd'] },
  needs: 'runc',
  flows,
};

/** For an image that has nothing else. What it makes differs each time; as a scanner for BuildKit it finds nothing. */
const PROGRAM = `package main

import (
	"os"
	"time"
)

func main() {
	file, text := "/made", time.Now().Format(time.RFC3339Nano)
	if folder := os.Getenv("BUILDKIT_SCAN_DESTINATION"); folder != "" {
		file, text = folder+"/nothing.spdx.json", \`{"_type":"https://in-toto.io/Statement/v0.1",\`+
			\`"predicateType":"https://spdx.dev/Document","predicate":{"SPDXID":"SPDXRef-DOCUMENT"}}\`
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		panic(err)
	}
}
`;

const MADE = 'FROM scratch AS made\nCOPY --chmod=755 program /program\nRUN ["/program"]\n';
const TWO_STAGES = `${MADE}FROM scratch\nCOPY --from=made /made /app/made\n`;
const LABEL = 'FROM scratch\nLABEL org.example.for=test\n';

/** What a cache is in the registry, by the options that ask for it. */
const caches: Readonly<Record<string, { options: string; type: string }>> = {
  'an image': { options: '', type: 'application/vnd.oci.image.manifest.v1+json' },
  'an index': { options: ',image-manifest=false', type: 'application/vnd.oci.image.index.v1+json' },
  'a list': {
    options: ',image-manifest=false,oci-mediatypes=false',
    type: 'application/vnd.docker.distribution.manifest.list.v2+json',
  },
};

const app = 'buildkit/app';
const label = 'buildkit/label';
const attested = 'buildkit/attested';
const compressed = 'buildkit/compressed';

function flows(tool: Tool, registry: RegistryView): Flows {
  const named = (reference: string) => `${tool.address}/${reference}`;
  const cache = (tag: string) => `type=registry,ref=${named(`${app}:${tag}`)}`;
  let builds = 0;

  /** Builds and pushes, as on a machine that has built nothing before. @param options of the image, with their commas */
  const build = async (reference: string, dockerfile: string, options = '', ...args: string[]) => {
    const folder = `build-${++builds}`;
    await tool.write(`${folder}/Dockerfile`, dockerfile);
    await onNewDaemon(
      tool,
      `${folder}-daemon`,
      ...['build', '--frontend', 'dockerfile.v0', '--local', `context=${tool.path('context')}`],
      ...['--local', `dockerfile=${tool.path(folder)}`],
      ...['--output', `type=image,name=${named(reference)},push=true${options}`],
      ...args,
    );
  };

  /** The digests of the layers of an image, or of what else a manifest has. */
  const contents = async (repository: string, reference: string) => {
    const { layers, manifests } = await registry.manifest(repository, reference);
    return (layers ?? manifests ?? []).map(({ digest }) => digest);
  };

  return {
    'pushes a label alone, for one platform and for two': async () => {
      await tool.write('main.go', PROGRAM);
      const env = cleanEnvironment({ CGO_ENABLED: '0' });
      await command('go', ['build', '-o', 'context/program', 'main.go'], { cwd: tool.path(''), env });
      for (const [tag, options] of Object.entries({ docker: '', oci: ',oci-mediatypes=true' })) {
        await build(`${label}:${tag}`, LABEL, options);
        assert.equal((await registry.manifest(label, tag)).layers, null);
      }
      await build(`${label}:two`, LABEL, '', '--opt', 'platform=linux/amd64,linux/arm64');
      const images = await contents(label, 'two');
      assert.equal(images.length, 2);
      for (const image of images) assert.equal((await registry.manifest(label, image)).layers, null);
    },

    'builds all again without a cache': async () => {
      for (const tag of ['1', '2']) await build(`${app}:${tag}`, MADE);
      assert.notDeepEqual(await contents(app, '2'), await contents(app, '1'));
    },

    ...Object.fromEntries(
      Object.entries(caches).map(([what, { options, type }], index) => [
        `keeps the cache of every stage as ${what}, and builds none of them again elsewhere`,
        async () => {
          const [tag, kept] = [`max-${index}`, `kept-${index}`];
          await build(`${app}:${tag}`, TWO_STAGES, '', '--export-cache', `${cache(kept)},mode=max${options}`);
          assert.equal((await registry.manifest(app, kept)).mediaType, type);
          await build(`${app}:made`, MADE, '', '--import-cache', cache(kept));
          const layers = await contents(app, 'made');
          assert.equal(layers.length, 2);
          assert.deepEqual(layers.filter(isNoneOf(await contents(app, kept))), []);
        },
      ]),
    ),

    'keeps the cache within the image': async () => {
      await build(`${app}:inline`, MADE, '', '--export-cache', 'type=inline');
      await build(`${app}:again`, `${MADE}LABEL again=true\n`, '', '--import-cache', cache('inline'));
      assert.deepEqual(await contents(app, 'again'), await contents(app, 'inline'));
    },

    'pushes attestations in an index, and as referrers': async () => {
      await build('buildkit/scanner:1', `${MADE}ENTRYPOINT ["/program"]\n`);
      const attest = [
        ...['--opt', 'attest:provenance=mode=max'],
        ...['--opt', `attest:sbom=generator=${named('buildkit/scanner:1')}`],
      ];
      await build(`${attested}:1`, MADE, '', ...attest);
      const [image = '', attestations = ''] = await contents(attested, '1');
      assert.equal((await contents(attested, image)).length, 2);
      assert.equal((await contents(attested, attestations)).length, 2);
      await build(`${attested}:2`, MADE, ',oci-artifact=true', ...attest);
      const [subject = ''] = await contents(attested, '2');
      const type = 'application/vnd.docker.attestation.manifest.v1+json';
      assert.deepEqual(await registry.referrers(attested, subject), [type]);
    },

    'pushes layers compressed in every way, mounts them, and builds on them elsewhere': async () => {
      for (const compression of ['zstd', 'estargz', 'uncompressed']) {
        await build(`${compressed}:${compression}`, MADE, `,compression=${compression}`);
        const layers = await contents(compressed, compression);
        const [mounted, built] = [`buildkit/mounted/${compression}`, `buildkit/built/${compression}`];
        const from = `FROM ${named(`${compressed}:${compression}`)}\n`;
        await build(`${mounted}:1`, `${from}LABEL org.example.for=test\n`);
        assert.deepEqual(await contents(mounted, '1'), layers);
        // Only the config is another.
        assert.deepEqual(registry.answers('POST', mounted, 'blobs/uploads/').sort(), [201, 201, 202]);
        await build(`${built}:1`, `${from}RUN ["/program"]\n`);
        assert.deepEqual((await contents(built, '1')).slice(0, 2), layers);
      }
    },
  };
}

function isNoneOf(known: readonly string[]): (digest: string) => boolean {
  return (digest) => !known.includes(digest);
}

/** Runs `buildctl` against a `buildkitd` that has nothing, and ends that. Needs root. @param name of its folder */
export async function onNewDaemon(tool: Tool, name: string, ...args: string[]): Promise<void> {
  const folder = await tool.newFolder(name);
  const address = ['--addr', `unix://${join(folder, 'socket')}`];
  const daemon = join(dirname(tool.program), 'buildkitd');
  // The native snapshotter copies, where overlays cannot be mounted on overlays. The network is not used.
  const worker = ['--oci-worker-snapshotter=native', '--oci-worker-net=host', '--containerd-worker=false'];
  const server = await tool.launch(
    daemon,
    [...address, '--root', join(folder, 'root'), ...worker],
    async () => Boolean(await tool.run(...address, 'debug', 'workers')),
  );
  try {
    await tool.run(...address, ...args);
  } finally {
    await server.stop();
  }
}
