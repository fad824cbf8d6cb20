/**
 * What the gateway's integrations do with answers of functions, as CloudFormation takes it: a 401 response gets its
 * `WWW-Authenticate` from the copy that functions send, should the gateway have renamed the original. Nothing changes where
 * it has not. The header is not one of those that no parameter may set:
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html ("Reserved headers").
 * `Content-Length` is, so that the length of an answer to HEAD cannot be restored here.
 */
export const responseParameters = {
  '401': {
    ResponseParameters: [
      {
        Destination: 'overwrite:header.www-authenticate',
        Source: '$response.header.stowage-www-authenticate',
      },
    ],
  },
};
