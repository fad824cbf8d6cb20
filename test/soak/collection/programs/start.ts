import assert from 'node:assert/strict';
import { digestOf, dockerImageType, imageType, send } from '../../../functions/client.ts';
import { temporaryFolder } from '../../../servers/folder.ts';
import { whyMissing } from '../../../servers/requires.ts';
import { serve } from '../../../servers/stowage.ts';
import type { Image } from '../images.ts';
import { containerd } from './containerd.ts';
import { docker } from './docker.ts';
import { podman } from './podman.ts';
import { imagesMade, type Program } from './program.ts';
import { skopeo } from './skopeo.ts';

/** A program with its images as a registry has them. */
export interface Started {
  readonly program: Program;
  readonly images: readonly Image[];
}

const starts = [
  ['dockerd', docker],
  ['containerd', containerd],
  ['podman', podman],
  ['skopeo', skopeo],
] as const;

/** Starts the programs that this machine has. @param onMissing is told why one is not there */
export async function startPrograms(onMissing: (reason: string) => void): Promise<readonly Started[]> {
  const folder = await temporaryFolder('images');
  // Some make the manifests themselves: what they push is seen here.
  const registry = await serve(folder.path, { REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' });
  const started: Started[] = [];
  try {
    for (const [needed, start] of starts) {
      const missing = whyMissing(needed);
      if (missing !== undefined) {
        onMissing(missing);
        continue;
      }
      const program = await start();
      const images: Image[] = [];
      started.push({ program, images });
      for (let i = 0; i < imagesMade; i++) {
        await program.push(i, `${registry.address}/${program.name}:${i}`);
        images.push(await readImage(`http://${registry.address}`, program.name, String(i)));
      }
    }
    return started;
  } catch (error) {
    await stopPrograms(started);
    throw error;
  } finally {
    await registry.stop();
    folder.remove();
  }
}

export async function stopPrograms(started: readonly Started[]): Promise<void> {
  for (const { program } of started) await program.stop();
}

async function readImage(base: string, repository: string, tag: string): Promise<Image> {
  const path = `/v2/${repository}/manifests/${tag}`;
  const accept = [imageType, dockerImageType].join(', ');
  const { status, headers, body: bytes } = await send(base, { method: 'GET', path, headers: { accept } });
  assert.equal(status, 200, bytes.toString());
  const { config, layers } = JSON.parse(bytes.toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  const blobs = [config, ...layers].map(async ({ digest }) => {
    const blob = await send(base, { method: 'GET', path: `/v2/${repository}/blobs/${digest}` });
    assert.equal(digestOf(blob.body), digest);
    return { digest, bytes: blob.body };
  });
  const type = headers['content-type'] ?? imageType;
  return { bytes, digest: digestOf(bytes), type, blobs: await Promise.all(blobs), children: [] };
}
