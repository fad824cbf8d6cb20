import type { AccessControl, Caller } from './access.ts';

/** A caller who may do everything: anybody without access control, or an htpasswd user. */
export function unrestricted(actor: string | undefined): Caller {
  return {
    actor,
    decideLogin: () => ({ outcome: 'allow' }),
    decide: () => ({ outcome: 'allow' }),
    decideCatalog: () => ({ outcome: 'allow' }),
    shows: undefined,
    immutableTags: () => undefined,
  };
}

/** `REGISTRY_AUTH=none`: credentials are ignored. */
export const open: AccessControl = {
  authenticate: async () => await Promise.resolve(unrestricted(undefined)),
  challenge: () => undefined,
};
