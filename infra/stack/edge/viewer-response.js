// A function of CloudFront (runtime cloudfront-js-2.0, event viewer-response). It gives an answer to HEAD the length that the
// functions sent, where the gateway has dropped it. Clients need it: podman, oras and crane fail without.
//
// CloudFront does not call it for statuses of 400 and more, so that it cannot restore WWW-Authenticate:
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
// Content-Length is not among the headers that are read-only there. Their names are in lower case in the event.
// eslint-disable-next-line @typescript-eslint/no-unused-vars -- CloudFront calls it by this name
function handler(event) {
  const { request, response } = event;
  const length = response.headers['stowage-content-length'];
  if (length) {
    delete response.headers['stowage-content-length'];
    if (request.method === 'HEAD') response.headers['content-length'] = { value: length.value };
  }
  return response;
}
