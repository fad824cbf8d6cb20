import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { readBody } from './read-body.ts';

/** An HTTP API that an emulator runs. */
export interface DeployedApi {
  /** Of its stage, such as `http://127.0.0.1:4566/_aws/execute-api/abc123/$default`. */
  readonly invokeUrl: string;
}

/** Has an emulator call the function, with the request as the gateway passes it on. */
export async function invokeDeployed(
  { invokeUrl }: DeployedApi,
  event: APIGatewayProxyEventV2,
): Promise<APIGatewayProxyStructuredResultV2> {
  const { rawPath, rawQueryString, headers, cookies, body, isBase64Encoded } = event;
  const { hostname, port, pathname } = new URL(invokeUrl);
  const query = rawQueryString === '' ? '' : `?${rawQueryString}`;
  const outgoing = request({
    hostname,
    port,
    method: event.requestContext.http.method,
    path: pathname + encoded(rawPath) + query,
    headers: { ...headers, ...(cookies === undefined ? {} : { cookie: cookies.join('; ') }) },
    agent: false,
  });
  outgoing.end(body === undefined ? undefined : Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8'));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return {
    statusCode: response.statusCode ?? 502,
    headers: headersOf(response),
    body: (await readBody(response)).toString('base64'),
    isBase64Encoded: true,
  };
}

/** The emulator decodes a path once, and the gateway has done so already. */
function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

function headersOf({ headersDistinct }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headersDistinct)
      .filter(([name]) => !['connection', 'keep-alive', 'transfer-encoding'].includes(name))
      .map(([name, values]) => [name, (values ?? []).join(',')]),
  );
}
