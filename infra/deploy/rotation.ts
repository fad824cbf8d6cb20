/*
 * A secret that signs what clients hold, such as URLs and tokens, with the one before it. An instance refuses what was signed
 * with a secret that it does not know, so a new secret comes in two rounds (docs/running-a-server.md, "Changing the secret"):
 * first all instances know it, then all sign with it.
 */

/** The values of a secret by the names of its settings. */
export type Values = Readonly<Record<string, string>>;

/** Milliseconds after which nothing is valid that was signed with an earlier REGISTRY_HTTP_SECRET. */
const signedForMs = 24 * 60 * 60_000;

export interface Rotation {
  /** What is deployed, one after the other. The last one stays. */
  readonly rounds: readonly [Values, ...Values[]];
  /** For the person who deploys. */
  readonly note: string | undefined;
}

export interface RotationInput {
  /** Name of the setting. That of the earlier secret is this and `_PREVIOUS`. */
  readonly setting: string;
  readonly stored: Values;
  readonly changedAt: Date;
  /** What the environment has, by setting. */
  readonly given: Values;
  /** Whether instances may be running with what is stored. */
  readonly isDeployed: boolean;
  /** Whether the earlier secret is dropped after a day. What tokens were signed with is valid for much longer. */
  readonly expires: boolean;
}

export function rotate({ setting, stored, changedAt, given, isDeployed, expires }: RotationInput): Rotation {
  const previously = `${setting}_PREVIOUS`;
  const [old = '', next] = [stored[setting], given[setting]];
  if (next !== undefined && next !== old) {
    const last = { [setting]: next, [previously]: old };
    return isDeployed
      ? {
          rounds: [{ [setting]: old, [previously]: next }, last],
          note: `${setting} changes to that of the environment, in two deployments: first all instances accept it, then they sign with it`,
        }
      : { rounds: [last], note: `${setting} changes to that of the environment` };
  }
  const previous = given[previously];
  if (previous !== undefined && previous !== stored[previously])
    return {
      rounds: [{ ...stored, [previously]: previous }],
      note: `${previously} is taken from the environment`,
    };
  const isOld = Date.now() - changedAt.getTime() > signedForMs;
  if (expires && previous === undefined && stored[previously] !== undefined && isOld)
    return {
      rounds: [{ [setting]: old }],
      note: `${previously} is removed, since nothing signed with it is valid any more`,
    };
  return { rounds: [stored], note: undefined };
}
