/**
 * A function as Lambda runs it, in a process of its own, which has nothing but the files of its package. The argument is its
 * entry. Each message is an event with an id; each answer is the result, or the error, with that id.
 */
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { once } from 'node:events';

interface Call {
  readonly id: number;
  readonly event: object;
}

const [, , entry = ''] = process.argv;
const { handler } = (await import(pathToFileURL(entry).href)) as {
  readonly handler: (event: object, context: object) => Promise<unknown>;
};

process.on('message', ({ id, event }: Call) => {
  const context = { awsRequestId: randomUUID(), getRemainingTimeInMillis: () => 120_000 };
  handler(event, context).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  );
});
await once(process, 'disconnect');
process.exit();
