// A function of Lambda@Edge (event origin-response), which CloudFront calls for all statuses. It gives a 401 response the
// WWW-Authenticate that the functions sent, where the gateway has renamed it. No client logs in without.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
//
// Lambda@Edge takes functions of us-east-1 alone, by a numbered version, for x86_64 and without environment variables:
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
exports.handler = async (event) => {
  const { response } = event.Records[0].cf;
  const [copy] = response.headers['stowage-www-authenticate'] ?? [];
  if (copy) {
    delete response.headers['stowage-www-authenticate'];
    delete response.headers['x-amzn-remapped-www-authenticate'];
    response.headers['www-authenticate'] = [{ key: 'WWW-Authenticate', value: copy.value }];
  }
  return response;
};
