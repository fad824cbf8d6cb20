import { chmodSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as servers from '../../../servers/skopeo.ts';
import { makeImages, writeLayout } from './made.ts';
import type { Program } from './program.ts';

export async function skopeo(): Promise<Program> {
  const program = await servers.skopeo();
  const layoutOf = (image: number | string) => join(program.folder, String(image));
  for (const [i, image] of makeImages().entries()) {
    writeLayout(layoutOf(i), image, 'made');
    // It may run as another user.
    chmodSync(layoutOf(i), 0o755);
  }
  return {
    name: 'skopeo',
    push: async (image, to) => {
      await program.copy(`oci:${layoutOf(image)}:made`, `docker://${to}`, '--preserve-digests');
    },
    pull: async (from) => {
      const pulled = layoutOf('pulled');
      await program.copy(`docker://${from}`, `oci:${pulled}:made`, '--preserve-digests');
      await rm(pulled, { recursive: true });
    },
    stop: async () => {
      program.remove();
      await Promise.resolve();
    },
  };
}
