import { root } from '../../lib/commands/checkout.ts';
import { loadParameters } from '../stack/load-parameters.ts';
import { ParameterError, type Parameters } from '../stack/parameters.ts';
import { findRegion, openAccount, type Account } from './account.ts';
import { cannotDeploy, messageOf } from './deploy-error.ts';

/** Where a deployment goes, with what is known of it without looking at what is there. */
export interface Target {
  readonly account: Account;
  readonly parameters: Parameters;
}

export interface TargetInput {
  readonly stage: string;
  readonly region: string | undefined;
  /** Parameters of the command line. */
  readonly overrides: Readonly<Record<string, string>>;
}

/** Checks region, parameters and credentials, and reports all faults at once. @throws DeployError */
export async function openTarget({ stage, region: given, overrides }: TargetInput): Promise<Target> {
  const faults: string[] = [];
  const fault = (error: unknown) => {
    faults.push(messageOf(error));
    return undefined;
  };
  const region = await findRegion(given).catch(fault);
  // The other parameters are checked also without a region.
  const parameters = readParameters(stage, region ?? 'us-east-1', overrides, faults);
  const account = region === undefined ? undefined : await openAccount(region).catch(fault);
  if (parameters === undefined || account === undefined) throw cannotDeploy(stage, faults);
  return { account, parameters };
}

function readParameters(
  stage: string,
  region: string,
  overrides: Readonly<Record<string, string>>,
  faults: string[],
): Parameters | undefined {
  try {
    return loadParameters(root, { stage, region, overrides });
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}
