/** Printed at the start of a registry without access control, of one that takes changes or none. */
export const openWarning =
  'It is open: whoever reaches this address may push and delete. docs/access.md sets up users and permissions.';

export const openReadOnlyWarning =
  'It is open: whoever reaches this address may pull all that it serves. docs/access.md sets up users and permissions.';
