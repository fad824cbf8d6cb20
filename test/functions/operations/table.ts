import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestStorage } from '../../servers/storage.ts';
import { Client } from '../client.ts';
import { startPlanes, type Planes } from '../planes.ts';
import { baseCases } from './base.ts';
import { blobCases } from './blobs.ts';
import { buildkitCases } from './buildkit.ts';
import { registerCases, type Bench, type Case, type Outcomes } from './case.ts';
import { FaultyClient } from './faulty-client.ts';
import { listCases } from './lists.ts';
import { manifestCases } from './manifests.ts';
import { wireCases } from './negotiated-manifests.ts';
import { newerManifestCases } from './newer-manifests.ts';
import { referrerCases } from './referrers.ts';
import { uploadCases } from './uploads.ts';

const everything = {
  base: baseCases,
  blobs: blobCases,
  uploads: uploadCases,
  manifests: manifestCases,
  'catalog and tags': listCases,
};

/** What is answered with bytes, or takes them. */
const bytes = { blobs: blobCases, uploads: uploadCases };

/** What asks a store for nothing that the others do not. */
const newer = { 'newer manifests': newerManifestCases, referrers: referrerCases };

export interface TableOptions {
  readonly faulty?: boolean;
  readonly missesOverwritten?: boolean;
  readonly functions?: 'everything' | 'bytes' | 'nothing';
  readonly wire?: boolean;
}

/**
 * The table of operations, on each way a client reaches a registry on a storage. Once in a process.
 * @param faulty whether the storage fails now and then: operations may then fail as well, and say so
 * @param missesOverwritten see {@link Outcomes}
 * @param wire whether cases come with it that are the same on every store, and the newer ones on every plane
 * @param functions what goes through the functions: where each request takes long, only the bytes, which go other ways
 * there than through the streaming server, or nothing
 */
export function tableOfOperations(
  openStorage: () => Promise<TestStorage>,
  { faulty = false, missesOverwritten = false, functions = 'everything', wire = false }: TableOptions = {},
): void {
  let planes: Planes;
  const outcomes: Outcomes | undefined = faulty ? { passed: 0, failed: 0, missesOverwritten } : undefined;
  const tables = wire ? { ...everything, ...newer, wire: wireCases, BuildKit: buildkitCases } : everything;
  const ClientOf = faulty ? FaultyClient : Client;

  before(async () => {
    planes = await startPlanes({}, await openStorage());
  });

  after(async () => {
    await planes.stop();
    if (outcomes === undefined) return;
    const { passed, failed } = outcomes;
    assert.ok(passed > 20 * failed, `${failed} of ${passed + failed} cases met a failure`);
  });

  const operations = (
    title: string,
    tables: Readonly<Record<string, readonly Case[]>>,
    clientOf: (planes: Planes) => Client,
  ): void => {
    describe(title, () => {
      let bench: Bench;

      before(async () => {
        bench = { client: clientOf(planes), store: await planes.storage.open() };
      });

      for (const [name, cases] of Object.entries(tables)) registerCases(name, cases, () => bench, outcomes);
    });
  };

  operations(
    'through the streaming server',
    faulty ? everything : { ...newer, ...tables },
    ({ server }) => new ClientOf(server),
  );

  if (functions === 'nothing') return;

  operations(
    'through the functions, with uploads through the data plane',
    functions === 'bytes' ? bytes : tables,
    ({ gateway }) => new ClientOf(gateway),
  );

  operations(
    'through the functions, with uploads in chunks that fit',
    // All else goes the same way.
    { uploads: uploadCases },
    ({ gateway, dataPlane }) => new ClientOf(gateway, (location) => location.replace(dataPlane, gateway)),
  );
}
