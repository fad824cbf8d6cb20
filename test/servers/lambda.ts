import { createServer } from 'node:http';
import { readBody } from './gateway/read-body.ts';
import { listen, type Listening } from './listen.ts';

/** What Lambda answers to an invocation that nobody waits for (API reference of Invoke). */
export interface Invocations extends Listening {
  /** Functions that were invoked, with their events. */
  readonly invoked: { readonly name: string; readonly event: unknown }[];
  /** Until all that were invoked have ended. */
  settled(): Promise<void>;
}

/**
 * Lambda for functions of this process that are invoked asynchronously.
 * @param functions by their names; any other is 404
 */
export async function startLambda(
  functions: Readonly<Record<string, (event: unknown) => Promise<void>>>,
): Promise<Invocations> {
  const invoked: { name: string; event: unknown }[] = [];
  const running = new Set<Promise<void>>();
  const server = createServer((request, response) => {
    const [, name = ''] = /^\/2015-03-31\/functions\/([\w-]+)\/invocations$/.exec(request.url ?? '') ?? [];
    const run = functions[name];
    if (run === undefined || request.headers['x-amz-invocation-type'] !== 'Event') {
      response.writeHead(404, { 'x-amzn-errortype': 'ResourceNotFoundException' }).end('{}');
      return;
    }
    void readBody(request).then((body) => {
      const event: unknown = JSON.parse(body.toString());
      invoked.push({ name, event });
      response.writeHead(202).end();
      // Lambda tries again after a minute.
      const ended = run(event)
        .catch(() => undefined)
        .finally(() => running.delete(ended));
      running.add(ended);
    });
  });
  return {
    ...(await listen(server)),
    invoked,
    settled: async () => {
      while (running.size > 0) await Promise.all(running);
    },
  };
}
