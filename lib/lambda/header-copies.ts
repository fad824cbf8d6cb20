import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';

/**
 * Headers that API Gateway may rename or drop, by the names under which they are sent a second time. What stands in front
 * restores them from there: response parameters of the gateway, functions of CloudFront in infra/stack/edge/, or a proxy.
 *
 * Whether an HTTP API changes them is not documented. REST APIs and function URLs send `WWW-Authenticate` as
 * `x-amzn-remapped-www-authenticate`; without its own name clients do not log in. The length of an answer to HEAD is that of
 * the manifest or blob, which clients need, while its body is empty.
 */
export const headerCopies = {
  'www-authenticate': 'stowage-www-authenticate',
  'content-length': 'stowage-content-length',
} as const;

/** Adds the copies to a 401 response, and to one to HEAD. */
export function withHeaderCopies(
  method: string,
  result: APIGatewayProxyStructuredResultV2,
): APIGatewayProxyStructuredResultV2 {
  const original = result.statusCode === 401 ? 'www-authenticate' : 'content-length';
  if (result.statusCode !== 401 && method !== 'HEAD') return result;
  const [, value] =
    Object.entries(result.headers ?? {}).find(([name]) => name.toLowerCase() === original) ?? [];
  if (value === undefined) return result;
  return { ...result, headers: { ...result.headers, [headerCopies[original]]: value } };
}
