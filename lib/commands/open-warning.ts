/** Printed at the start of a registry without access control. */
export const openWarning =
  'It is open: whoever reaches this address may push and delete. docs/access.md sets up users and permissions.';
