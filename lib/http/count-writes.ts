import type { ServerResponse } from 'node:http';
import { requestScope, type RequestScope } from '../request-scope.ts';

const scopeOf = Symbol('scope');

/** Node's method has several forms, whose first argument is the bytes. */
interface Counted {
  [scopeOf]?: RequestScope | undefined;
  write: (this: Counted, ...parameters: readonly unknown[]) => unknown;
}

/**
 * Counts the bytes that are written to a response for the current request. All responses share the method, since closures of each
 * would cost more than the counting.
 */
export function countWrites(response: ServerResponse): void {
  const counted = response as unknown as Counted;
  counted[scopeOf] = requestScope();
  counted.write = countWrite;
}

function countWrite(this: Counted, ...parameters: readonly unknown[]): unknown {
  const [piece] = parameters;
  if (this[scopeOf] !== undefined) this[scopeOf].bytesSent += Buffer.byteLength(piece as string | Uint8Array);
  const { write } = Object.getPrototypeOf(this) as Counted;
  return write.apply(this, parameters as unknown[]);
}
