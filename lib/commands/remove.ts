import { loadFromCheckout } from './checkout.ts';
import { readArguments, refuseOptionsOfNpm, UsageError, type Command } from './command.ts';

/** Which deployment is removed. */
export interface RemoveOptions {
  readonly stage: string;
  /** Undefined for that of the environment or the AWS profile. */
  readonly region: string | undefined;
  /** Whether nothing is asked. */
  readonly yes: boolean;
}

/** Removes what `stowage deploy` made, and keeps the images. */
export const command: Command = {
  summary: 'remove a registry from AWS and keep its images, from a checkout of the project',
  usage: `Usage: stowage remove --stage STAGE [--region REGION] [--yes]

Removes the functions, the gateway and the data plane of a stage. The bucket stays, with all images. The secrets are
deleted after 30 days, and a deployment within these takes them again.

  --stage STAGE    name of the registry
  --region REGION  region of AWS (default that of AWS_REGION or of the profile)
  --yes            ask nothing`,
  run: async (args) => {
    refuseOptionsOfNpm('remove', ['stage', 'region'], args);
    const { values } = readArguments(args, {
      stage: { type: 'string' },
      region: { type: 'string' },
      yes: { type: 'boolean' },
    });
    if (values.stage === undefined) throw new UsageError('stowage remove needs --stage');
    const options = { stage: values.stage, region: values.region, yes: values.yes ?? false };
    const { remove } = (await loadFromCheckout('infra/deploy/remove.ts')) as {
      remove: (options: RemoveOptions) => Promise<number>;
    };
    return await remove(options);
  },
};
