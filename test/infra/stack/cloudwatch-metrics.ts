/** Metrics that AWS publishes, and the names of the dimensions of each series. */
interface Published {
  readonly metrics: readonly string[];
  readonly dimensions: readonly (readonly string[])[];
}

/** By namespace: those that a stack can have, each with the page that lists them. */
const published: Readonly<Record<string, Published>> = {
  // https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
  'AWS/ApiGateway': {
    metrics: ['4xx', '5xx', 'Count', 'DataProcessed', 'IntegrationLatency', 'Latency'],
    dimensions: [['ApiId'], ['ApiId', 'Stage']],
  },
  // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html, without dimensions for all of an account
  'AWS/Lambda': {
    metrics: ['ConcurrentExecutions', 'Duration', 'Errors', 'Invocations', 'Throttles'],
    dimensions: [[], ['FunctionName']],
  },
  // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
  'AWS/SQS': {
    metrics: ['ApproximateAgeOfOldestMessage', 'ApproximateNumberOfMessagesVisible', 'NumberOfMessagesSent'],
    dimensions: [['QueueName']],
  },
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
  'AWS/S3': { metrics: ['BucketSizeBytes'], dimensions: [['BucketName', 'StorageType']] },
};

/** @param dimensions their names, in any order */
export function isPublished(namespace: string, metric: string, dimensions: readonly string[]): boolean {
  const known = published[namespace];
  const names = [...dimensions].sort().join();
  return (
    known !== undefined &&
    known.metrics.includes(metric) &&
    known.dimensions.some((one) => one.join() === names)
  );
}
