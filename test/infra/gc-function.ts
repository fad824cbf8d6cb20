/** The packaged function `gc`, and what it may do on AWS. */
import assert from 'node:assert/strict';
import type { Feature } from '../../infra/packages/optional.ts';
import { rightsOf } from '../../infra/stack/rights.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { keysIn, pause, shortFence } from '../maintenance/collection/collecting.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { onVersitygw, proxied, type Buckets } from '../servers/buckets.ts';
import { asInLambda, packagedFunctions, type PackagedFunctions } from '../servers/packaged-functions.ts';
import type { TestStorage } from '../servers/storage.ts';
import { parametersWith } from './stack/examples.ts';

export const enabled = { REGISTRY_GC_ENABLED: 'true', REGISTRY_GC_EXCLUSIVE: 'true' } as const;

/** The function on a bucket of versitygw, behind a proxy. */
export interface StartedFunction {
  readonly functions: PackagedFunctions;
  readonly proxy: BucketProxy;
  readonly stop: () => Promise<void>;
}

/** Starts it, with waits of seconds. @param features of its package, beside S3 */
export async function startFunction(
  { endpoint }: Pick<Buckets, 'endpoint'>,
  storage: TestStorage,
  features: readonly Feature[],
  settings: Readonly<Record<string, string>>,
): Promise<StartedFunction> {
  const proxy = await bucketProxy(endpoint);
  const functions = await packagedFunctions(['s3', ...features], () =>
    asInLambda({
      ...proxied(onVersitygw, storage, proxy),
      ...enabled,
      ...shortFence,
      REGISTRY_GC_DELAY: '6s',
      // As in a deployment.
      REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'true',
      ...settings,
    }),
  );
  const stop = async () => {
    await functions.stop();
    await proxy.stop();
  };
  return { functions, proxy, stop };
}

export type Line = Readonly<Record<string, unknown>>;

/** Runs the function once. @returns what it has logged, and whether it has failed */
export async function invoke(
  functions: PackagedFunctions,
): Promise<{ lines: readonly Line[]; failed: boolean }> {
  const before = functions.output().length;
  const failed = await functions.run('gc').then(
    () => false,
    () => true,
  );
  // Its output comes by another way than its answer.
  await pause(500);
  const lines = functions.output().slice(before).trim().split('\n');
  return { lines: lines.map((line) => JSON.parse(line) as Line), failed };
}

export function summaryIn(lines: readonly Line[]): Line {
  const found = lines.find(({ msg }) => msg === 'all garbage collection that was due is done');
  assert.ok(found !== undefined, JSON.stringify(lines));
  return found;
}

/** What is in a bucket looks so old to a function, until it writes a mark. */
export function agedUntilMark(proxy: BucketProxy, agedMs: number): void {
  proxy.agedMs = agedMs;
  proxy.intercept = ({ method, key }) => {
    if (method === 'PUT' && key.includes('/gc/marks/')) proxy.agedMs = 0;
    return 'pass';
  };
}

/** An action on a key, such as `s3:PutObject docker/registry/v2/gc/looked`. */
type Action = string;

/** What was done in a bucket. @param had the keys that there were before */
export async function actionsSeen(
  { requests }: BucketProxy,
  store: ObjectStore,
  had: readonly string[],
): Promise<readonly Action[]> {
  const left = new Set(await keysIn(store));
  const written = requests.filter(({ operation }) => operation === 'PutObject').map(({ key }) => key);
  return [
    ...requests.flatMap(({ operation, key }) =>
      operation === 'PutObject' || operation === 'GetObject' ? [`s3:${operation} ${key}`] : [],
    ),
    ...requests.flatMap(({ operation, key }) => (operation === 'HeadObject' ? [`s3:GetObject ${key}`] : [])),
    ...[...had, ...written].filter((key) => !left.has(key)).map((key) => `s3:DeleteObject ${key}`),
  ];
}

/** The actions on keys that the function may do, but those that AWS alone asks for. @param parameters of the deployment */
export function allowedActions(parameters: Readonly<Record<string, string>>): readonly Action[] {
  return rightsOf('gc', parametersWith({ ...enabled, ...parameters })).flatMap(({ on, actions, source }) =>
    typeof on === 'object' && 'keys' in on && source === undefined
      ? actions.map((action) => `${action} ${on.keys}`)
      : [],
  );
}

/** Whether an action is among those that are allowed, as IAM reads them. */
export function isAllowed(action: Action, allowed: readonly Action[]): boolean {
  return allowed.some((one) =>
    new RegExp(`^${RegExp.escape(one).replaceAll('\\*', '.*').replaceAll('\\?', '.')}$`).test(action),
  );
}
