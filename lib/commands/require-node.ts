/* Must be the first import: an older Node would fail with a stack trace or misbehave later. */
import { nodeFault } from '../node-version.ts';

const fault = nodeFault();
if (fault !== undefined) {
  console.error(`${fault}: run it with a newer one.`);
  process.exit(1);
}
