#!/usr/bin/env node
/* The command `stowage`. Everything else is imported later, so that an older Node can report that it is too old. */
import './require-node.ts';

const { main } = await import('./main.ts');
process.exitCode = await main(process.argv.slice(2));
