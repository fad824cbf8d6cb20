/** The major version of Node that this is written for, tested on and deployed with. */
const needed = 24;

/** Why this Node will not do, in a sentence without its end; undefined where it does. */
export function nodeFault(version = process.versions.node): string | undefined {
  if (Number.parseInt(version, 10) >= needed) return undefined;
  return `Stowage needs Node ${needed} or newer, and ${process.execPath} is ${version}`;
}
