import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, someName } from '../client.ts';
import type { Case } from './case.ts';

/** What `buildctl build` sent for one set of options. */
interface Push {
  /** What it is of. */
  readonly what: string;
  /** In base64. */
  readonly blobs: readonly string[];
  /** In the order they were sent. */
  readonly manifests: readonly {
    readonly reference: string;
    /** Content-Type */
    readonly type: string;
    readonly text: string;
  }[];
}

const file = join(import.meta.dirname, '../../fixtures/buildkit-pushes.json');
const { pushes } = JSON.parse(readFileSync(file, 'utf8')) as { pushes: readonly Push[] };

/** BuildKit's pushes to the byte, recorded from the program. `npm run test:clients` has the program itself. */
export const buildkitCases: readonly Case[] = pushes.map(({ what, blobs, manifests }) => ({
  title: `takes from BuildKit ${what}, and gives the same bytes`,
  async act({ client }) {
    const name = someName('buildkit');
    for (const blob of blobs) await client.pushBlob(name, Buffer.from(blob, 'base64'));
    for (const { reference, type, text } of manifests)
      await client.pushManifest(name, reference, Buffer.from(text), type);
    const { reference = '', type = '', text = '' } = manifests.at(-1) ?? {};
    const bytes = Buffer.from(text);
    const described = { 'content-type': type, 'docker-content-digest': digestOf(bytes) };
    return {
      ask: { method: 'GET', path: `/v2/${name}/manifests/${reference}` },
      expect: { status: 200, headers: described, bytes },
    };
  },
}));
