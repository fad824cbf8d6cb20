/** The major version of Node for tests and deployment. */
const required = 24;

/** Why this Node is too old, as a sentence without its end; undefined if it is not. */
export function nodeFault(version = process.versions.node): string | undefined {
  if (Number.parseInt(version, 10) >= required) return undefined;
  return `Stowage needs Node ${required} or newer, and ${process.execPath} is ${version}`;
}
