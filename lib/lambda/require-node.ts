/* The first import of every function: a start that fails is seen, where an older runtime would only answer wrongly at times. */
import { nodeFault } from '../node-version.ts';

const fault = nodeFault();
if (fault !== undefined) throw new Error(`${fault}: set the function's runtime to nodejs24.x.`);
