/*
 * Preloaded for serverless-offline, which prints a table of its routes to standard output, whatever its log level. The
 * functions run in worker threads; what they log is printed.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) console.log = () => undefined;
