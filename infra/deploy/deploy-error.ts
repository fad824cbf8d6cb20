/** A deployment cannot begin or go on. The message has all reasons with their remedies, and is printed as it is. */
export class DeployError extends Error {
  override readonly name = 'DeployError';
}

/** @param what such as `The stage dev cannot be deployed` */
export function refusal(what: string, faults: readonly string[]): DeployError {
  return new DeployError([`${what}:`, ...faults.map((fault) => `  - ${fault}`)].join('\n'));
}

/** The message of any error, for a person. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Errors of AWS have no cause in the message but their name.
  return '$metadata' in error ? `${error.name}: ${error.message}` : error.message;
}
