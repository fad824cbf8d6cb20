#!/usr/bin/env node
/* The command `stowage`. All but this is imported later, so that a Node that is too old can say so. */
import './require-node.ts';

const { main } = await import('./main.ts');
process.exitCode = await main(process.argv.slice(2));
