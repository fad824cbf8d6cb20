/* Preloaded for the processes of npm start, so that none is left when it is killed. */
import { isMainThread } from 'node:worker_threads';

if (isMainThread && process.channel) {
  process.once('disconnect', () => process.exit(1));
  process.channel.unref();
}
