/* The first import of what a person runs: an older Node lacks what it uses, and would end with a stack trace or go wrong later. */
import { nodeFault } from '../node-version.ts';

const fault = nodeFault();
if (fault !== undefined) {
  console.error(`${fault}: run it with a newer one.`);
  process.exit(1);
}
