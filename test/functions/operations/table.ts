import { after, before, describe } from 'node:test';
import type { TestStorage } from '../../servers/storage.ts';
import { Client } from '../client.ts';
import { startPlanes, type Planes } from '../planes.ts';
import { baseCases } from './base.ts';
import { blobCases } from './blobs.ts';
import { registerCases, type Bench } from './case.ts';
import { listCases } from './lists.ts';
import { manifestCases } from './manifests.ts';
import { uploadCases } from './uploads.ts';

/** The table of operations, on each way a client reaches a registry on a storage. Once in a process. */
export function tableOfOperations(openStorage: () => Promise<TestStorage>): void {
  let planes: Planes;

  before(async () => {
    planes = await startPlanes({}, await openStorage());
  });

  after(async () => {
    await planes.stop();
  });

  const operations = (title: string, clientOf: (planes: Planes) => Client): void => {
    describe(title, () => {
      let bench: Bench;

      before(async () => {
        bench = { client: clientOf(planes), store: await planes.storage.open() };
      });

      registerCases('base', baseCases, () => bench);
      registerCases('blobs', blobCases, () => bench);
      registerCases('uploads', uploadCases, () => bench);
      registerCases('manifests', manifestCases, () => bench);
      registerCases('catalog and tags', listCases, () => bench);
    });
  };

  operations('through the streaming server', ({ server }) => new Client(server));

  operations(
    'through the functions, with uploads through the data plane',
    ({ gateway }) => new Client(gateway),
  );

  operations(
    'through the functions, with uploads in chunks that fit',
    ({ gateway, dataPlane }) => new Client(gateway, (location) => location.replace(dataPlane, gateway)),
  );
}
