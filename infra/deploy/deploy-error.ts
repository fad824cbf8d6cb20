import { remedyOf } from './failures.ts';

/** A deployment cannot begin or go on. The message has all reasons with their remedies, and is printed as it is. */
export class DeployError extends Error {
  override readonly name = 'DeployError';
}

/** @param what such as `The stage dev cannot be deployed` */
export function refusal(what: string, faults: readonly string[]): DeployError {
  return new DeployError([`${what}:`, ...faults.map((fault) => `  - ${fault}`)].join('\n'));
}

/** For what is found before anything is changed. */
export function cannotDeploy(stage: string, faults: readonly string[]): DeployError {
  return refusal(`The stage ${stage} cannot be deployed, and nothing was changed`, faults);
}

/** The message of any error, for a person. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Errors of AWS have no cause in the message but their name.
  return '$metadata' in error ? `${error.name}: ${error.message}` : error.message;
}

/** The message of an error that ends the program, with the remedy if it is one of AWS that is known. */
export function explain(error: unknown): string {
  const message = messageOf(error);
  const remedy = error instanceof DeployError ? undefined : remedyOf(message);
  return remedy === undefined ? message : `${message}\n  → ${remedy}`;
}
