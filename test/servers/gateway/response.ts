import type { ServerResponse } from 'node:http';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';

/** What is not known of AWS. */
export interface Unknowns {
  /**
   * Whether `WWW-Authenticate` of a function goes out as `x-amzn-remapped-www-authenticate`, as from REST APIs and function
   * URLs: where the gateway takes the response from the function, so that its response parameters may add the header again,
   * or where it sends it to the client.
   */
  readonly challenges?: 'renamed' | 'renamed at last';
  /** What becomes of the `Content-Length` of an answer to HEAD, which has no body: a function's own passes unless given. */
  readonly headLength?: 'dropped' | 'zero';
}

/** Changes of the headers of answers, by status, as an integration of the template has them. */
export type ResponseParameters = Readonly<Record<string, Readonly<Record<string, string>>>>;

const challenge = 'www-authenticate';
const renamed = `x-amzn-remapped-${challenge}`;

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html, "Reserved headers" */
const reserved =
  /^(access-control-.*|apigw-.*|authorization|connection|content-encoding|content-length|content-location|forwarded|keep-alive|origin|proxy-authenticate|proxy-authorization|te|trailers|transfer-encoding|upgrade|x-amz-.*|x-amzn-.*|x-forwarded-for|x-forwarded-host|x-forwarded-proto|via)$/;

/** Sends what a function answers. */
export function sendResult(
  response: ServerResponse,
  method: string,
  {
    statusCode = 200,
    headers = {},
    cookies,
    body = '',
    isBase64Encoded = false,
  }: APIGatewayProxyStructuredResultV2,
  { challenges, headLength }: Unknowns,
  parameters: ResponseParameters = {},
): void {
  let fields = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  if (challenges === 'renamed') fields = withRenamedChallenge(fields);
  fields = withParameters(fields, parameters[String(statusCode)] ?? {});
  if (challenges === 'renamed at last') fields = withRenamedChallenge(fields);
  const bytes = Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
  if (method !== 'HEAD') fields['content-length'] = String(bytes.length);
  else if (headLength === 'zero') fields['content-length'] = '0';
  else if (headLength === 'dropped') delete fields['content-length'];
  response.writeHead(statusCode, {
    // A gateway gives a type to answers that have none.
    'content-type': 'text/plain;charset=UTF-8',
    ...fields,
    ...(cookies === undefined ? {} : { 'set-cookie': cookies }),
    'apigw-requestid': 'of-a-test',
  });
  response.end(bytes);
}

type Fields = Record<string, string>;

function withRenamedChallenge({ [challenge]: value, ...fields }: Fields): Fields {
  return value === undefined ? fields : { ...fields, [renamed]: value };
}

/** @throws Error where AWS would refuse the integration */
function withParameters(fields: Fields, parameters: Readonly<Record<string, string>>): Fields {
  const changed = { ...fields };
  for (const [destination, source] of Object.entries(parameters)) {
    const [, verb = '', name = ''] = /^(append|overwrite|remove):header\.(.+)$/.exec(destination) ?? [];
    const header = name.toLowerCase();
    if (verb === '' || reserved.test(header)) throw new Error(`no response parameter: ${destination}`);
    const [, from] = /^\$response\.header\.(.+)$/.exec(source) ?? [];
    const value = from === undefined ? source : fields[from.toLowerCase()];
    if (verb === 'remove') Reflect.deleteProperty(changed, header);
    else if (value !== undefined)
      changed[header] = [...(verb === 'append' && changed[header] ? [changed[header]] : []), value].join(',');
  }
  return changed;
}

/** The gateway's own answers have this form, which is not the registry's. */
export function refuse(response: ServerResponse, status: number, message: string): void {
  const body = JSON.stringify({ message });
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}
