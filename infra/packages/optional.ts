import { functionNames, isHttpFunction } from '../gateway.ts';
import { writers } from '../stack/events.ts';

/** What a deployment may have or not. A package has the modules of those that its deployment has. */
export const features = [
  's3',
  'scs',
  'mysql',
  'policy',
  'retention',
  'htpasswd',
  'token',
  'tracing',
  'cloudwatch',
  'events',
  'cache',
] as const;

export type Feature = (typeof features)[number];

/** A module that is loaded on demand, and not by every function of every deployment. */
interface OptionalModule {
  /** Its source file, or a folder of a package in `node_modules/`. */
  readonly module: string;
  /** The functions that can load it. */
  readonly functions: readonly string[];
  /** The deployments that can load it; all unless given. */
  readonly feature?: Feature;
}

const httpFunctions = functionNames.filter(isHttpFunction);

const issuesTokens = ['token'];

/** Rules for retention and quotas. With a policy they are in it. */
const readsRules = [...httpFunctions, 'gc'];

/** `all` gets the paths that have no route of their own, of whatever group. */
const listsRepositories = ['catalog', 'search', 'manifests', 'reindex', 'all'];

/**
 * Modules that some packages go without. A package has every other module that its function can reach. A module in two rows is
 * in the packages of both.
 */
export const optionalModules: readonly OptionalModule[] = [
  { module: 'lib/storage/s3/store.ts', functions: functionNames, feature: 's3' },
  { module: 'lib/storage/scs/store.ts', functions: functionNames, feature: 'scs' },
  // A push of a tag records its repository.
  { module: 'lib/search/mysql/search.ts', functions: listsRepositories, feature: 'mysql' },
  { module: 'lib/compose-policy-sources.ts', functions: readsRules, feature: 'policy' },
  { module: 'lib/compose-policy-sources.ts', functions: readsRules, feature: 'retention' },
  { module: 'lib/compose-policy.ts', functions: httpFunctions, feature: 'policy' },
  { module: 'lib/access/tokens/service.ts', functions: issuesTokens, feature: 'policy' },
  { module: 'lib/access/oidc/verifier.ts', functions: issuesTokens, feature: 'policy' },
  { module: 'lib/access/oidc/issuer-keys.ts', functions: issuesTokens, feature: 'policy' },
  { module: 'lib/access/htpasswd/htpasswd.ts', functions: issuesTokens, feature: 'policy' },
  { module: 'lib/access/htpasswd/htpasswd.ts', functions: httpFunctions, feature: 'htpasswd' },
  { module: 'lib/access/htpasswd/access-control.ts', functions: httpFunctions, feature: 'htpasswd' },
  { module: 'lib/access/tokens/external.ts', functions: httpFunctions, feature: 'token' },
  { module: 'lib/tracing/tracing.ts', functions: httpFunctions, feature: 'tracing' },
  { module: 'lib/lambda/cloudwatch.ts', functions: httpFunctions, feature: 'cloudwatch' },

  { module: 'lib/compose-events.ts', functions: writers, feature: 'events' },
  { module: 'lib/lambda/deliver.ts', functions: ['events'], feature: 'events' },
  { module: 'lib/compose-delivery.ts', functions: ['events'], feature: 'events' },
  { module: 'lib/notifications/aws/delivery-queue.ts', functions: writers, feature: 'events' },
  { module: 'lib/notifications/aws/sqs.ts', functions: ['events'], feature: 'events' },
  { module: 'lib/notifications/aws/event-bridge.ts', functions: ['events'], feature: 'events' },

  { module: 'lib/compose-cache.ts', functions: httpFunctions, feature: 'cache' },
  { module: 'lib/compose-function-cache.ts', functions: [...httpFunctions, 'copy'], feature: 'cache' },
  { module: 'lib/lambda/ask-for-copies.ts', functions: ['blobs', 'all', 'copy'], feature: 'cache' },
  { module: 'lib/lambda/copy.ts', functions: ['copy'], feature: 'cache' },

  // Functions have connections of Node itself.
  { module: 'lib/storage/s3/client/pool.ts', functions: [] },
  // Folders and files: `npm start` has them, AWS has not.
  { module: 'lib/storage/filesystem/store.ts', functions: [] },
  { module: 'lib/search/file/local-file.ts', functions: [] },
  // A server's processes share these.
  { module: 'lib/access/htpasswd/shared-attempts.ts', functions: [] },
  { module: 'lib/access/htpasswd/verifier.ts', functions: [] },

  /*
   * Lambda gives a function the credentials of its role in the environment, which the AWS clients read first
   * (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, AWS_ACCESS_KEY_ID). Other ways stay out.
   */
  ...[
    '@aws-sdk/credential-provider-http',
    '@aws-sdk/credential-provider-ini',
    '@aws-sdk/credential-provider-login',
    '@aws-sdk/credential-provider-process',
    '@aws-sdk/credential-provider-sso',
    '@aws-sdk/credential-provider-web-identity',
    '@smithy/credential-provider-imds',
    '@aws-sdk/nested-clients',
  ].map((name) => ({ module: `node_modules/${name}/`, functions: [] })),
  // No operation that the registry calls answers with a stream of events.
  { module: 'node_modules/@smithy/core/dist-es/submodules/event-streams/', functions: [] },
];
