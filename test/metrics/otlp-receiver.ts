import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { readMessage, type Message } from './protobuf.ts';

/** A span, as a collector gets it (opentelemetry-proto, trace/v1/trace.proto). */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentId: string;
  readonly name: string;
  /** 2 for a server, 3 for a client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** 2 for an error. */
  readonly status: number;
}

export interface OtlpReceiver {
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  /** Attributes of whoever sent them, such as `service.name`. */
  readonly resource: Readonly<Record<string, string | number>>;
  stop(): Promise<void>;
}

/** A collector that takes OTLP over HTTP as protobuf, and reads it with code of its own. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const resource: Record<string, string | number> = {};
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const isTraces =
        request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf';
      if (!isTraces) response.writeHead(400).end();
      else {
        for (const sent of readMessage(body).messages(1)) {
          for (const one of sent.messages(1)) Object.assign(resource, attributesOf(one, 1));
          for (const scope of sent.messages(2)) spans.push(...scope.messages(2).map(spanOf));
        }
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    resource,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => undefined);
    },
  };
}

function spanOf(span: Message): ReceivedSpan {
  return {
    traceId: span.bytes(1).toString('hex'),
    spanId: span.bytes(2).toString('hex'),
    parentId: span.bytes(4).toString('hex'),
    name: span.bytes(5).toString(),
    kind: span.number(6),
    attributes: attributesOf(span, 9),
    status: span.messages(15)[0]?.number(3) ?? 0,
  };
}

function attributesOf(message: Message, field: number): Record<string, string | number> {
  const pairs = message.messages(field).map((pair) => {
    const [value] = pair.messages(2);
    const isText = value?.has(1) === true;
    return [pair.bytes(1).toString(), isText ? value.bytes(1).toString() : (value?.number(3) ?? 0)] as const;
  });
  return Object.fromEntries(pairs);
}
