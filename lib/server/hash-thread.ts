import { HashThread } from '../registry/uploads/hash-thread.ts';
import { availableCores } from './workers/available-cores.ts';

/** A thread for large uploads; undefined where it would only take turns with the event loop, on one core, or is forbidden. */
export async function createHashThread(onFailure: (cause: unknown) => void): Promise<HashThread | undefined> {
  // Undefined without Node's --permission.
  const { permission } = process as Partial<NodeJS.Process>;
  if (permission?.has('worker') === false || (await availableCores()) < 2) return undefined;
  return new HashThread({ onFailure });
}
