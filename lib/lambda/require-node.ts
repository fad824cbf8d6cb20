/* Must be the first import: an older runtime would sometimes respond wrongly instead of failing at start. */
import { nodeFault } from '../node-version.ts';

const fault = nodeFault();
if (fault !== undefined) throw new Error(`${fault}: set the function's runtime to nodejs24.x.`);
