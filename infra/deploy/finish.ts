import { policyKey } from '../stack/environment.ts';
import { bucketExists } from './bucket.ts';
import { showCost } from './cost.ts';
import { messageOf } from './deploy-error.ts';
import { putFirstPolicy, storeSettings } from './first-policy.ts';
import type { Plan } from './plan.ts';
import { reindex } from './reindex.ts';
import type { Run } from './run.ts';
import { firstUserName } from './secrets.ts';
import { tryRegistry } from './try-registry.ts';
import type { Stack } from './stack.ts';
import { showUse } from './summary.ts';

/** What follows a deployment: the policy, the reindex and the smoke test. @returns the exit code */
export async function finish(plan: Plan, stack: Stack, { say, interrupted }: Run): Promise<number> {
  const { account, parameters } = plan.target;
  const failed: string[] = [];
  const step = async (name: string, run: () => Promise<void>) => {
    interrupted.throwIfAborted();
    try {
      await run();
    } catch (error) {
      interrupted.throwIfAborted();
      failed.push(`${name}: ${messageOf(error)}`);
    }
  };
  if (parameters.auth === 'policy')
    await step('The policy could not be written', async () => {
      await writePolicy(plan, say);
    });
  say('Reindexing …');
  await step('The reindex failed', async () => {
    await reindex(account, parameters.stage, interrupted);
  });
  const { RegistryUrl: url = '', DnsRecord: record } = stack.outputs;
  if (record !== undefined && parameters.hostedZone === undefined)
    say(
      `Make this DNS record: ${parameters.host ?? ''} ${parameters.address === 'instance' ? 'A' : 'CNAME'} ${record}. Without it the smoke test fails after five minutes, and the same command tries again.`,
    );
  await step('The smoke test failed', async () => {
    await tryRegistry(plan, url, { say, interrupted });
  });
  say(`\n${showUse(url, parameters, plan.secrets.user)}\n\n${showCost(plan)}`);
  if (failed.length === 0) return 0;
  console.error(`\nThe stage ${parameters.stage} is deployed, but:`);
  for (const text of failed) console.error(`  - ${text.replaceAll('\n', '\n    ')}`);
  console.error('The same command tries these again.');
  return 1;
}

async function writePolicy({ target, bucket, secrets }: Plan, say: (text: string) => void): Promise<void> {
  const { text } = secrets.secrets.find(({ kind }) => kind === 'storage')?.rounds[0] ?? { text: '{}' };
  const keys = JSON.parse(text) as Readonly<Record<string, string>>;
  // The store does not say whose bucket it must be.
  if (target.parameters.storage === 's3' && !(await bucketExists(target.account, bucket.name)))
    throw new Error(`the bucket ${bucket.name} is gone`);
  const store = { ...storeSettings(target.parameters, bucket.name), ...keys };
  if (await putFirstPolicy(store, firstUserName))
    say(
      `The policy is the object ${policyPath(target.parameters.rootDirectory)} of the bucket ${bucket.name}.`,
    );
}

function policyPath(rootDirectory: string): string {
  return rootDirectory === '' ? policyKey : `${rootDirectory}/${policyKey}`;
}
