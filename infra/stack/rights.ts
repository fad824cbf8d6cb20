import {
  functionNames,
  invokedFunctionNames,
  isHttpFunction,
  scheduledFunctionNames,
  type FunctionName,
} from '../gateway.ts';
import { policyKey } from './environment.ts';
import { hasQueue, targetArns, tellsOfEvents, writers } from './events.ts';
import type { Parameters } from './parameters.ts';
import { secretsOf, usesSearch, type SecretKind } from './secrets.ts';
import { collectsGarbage, isTrue } from './setting-values.ts';
import { asking, hasUpstreams, invoking } from './upstreams.ts';

/** Whoever has a role: a function, or the data plane. */
export type Principal = FunctionName | 'data-plane';

/** What actions are allowed on. Keys are those of `lib/registry/layout.ts`, below the root directory; `*` is any text, with slashes, and `?` any character. */
export type On =
  | { readonly keys: string }
  | 'bucket'
  | { readonly secret: SecretKind }
  | 'KMS key'
  /** The log group of the function itself. */
  | 'own logs'
  | 'dead letters'
  /** That starts the function `events`. */
  | 'event queue'
  /** The function `copy`. */
  | 'copy function'
  /** Queues or event buses that endpoints name. */
  | { readonly arns: readonly string[] }
  | 'network interfaces';

/** A row of the table of rights. */
export interface Right {
  readonly for: readonly Principal[];
  readonly on: On;
  readonly actions: readonly string[];
  /** Whether what needs it is switched on. @default always */
  readonly when?: (parameters: Parameters) => boolean;
  /** The documentation of AWS that asks for it, where no operation of the registry fails without it on an emulator. */
  readonly source?: string;
}

const root = 'docker/registry/v2';
const blobs = { keys: `${root}/blobs/*` };
const uploads = { keys: `${root}/uploads/*` };
const deleted = { keys: `${root}/deleted/*` };
const events = { keys: `${root}/events/*` };
const pendingEvents = { keys: `${root}/events/pending/*` };
const collections = { keys: `${root}/gc/*` };
const rescued = { keys: `${root}/gc/rescued/*` };
const pauses = { keys: `${root}/cache/pauses/*` };
const copyClaims = { keys: `${root}/cache/copies/*` };
const quotaSums = { keys: `${root}/quotas/*/used` };
const quotaPushes = { keys: `${root}/quotas/*/pushed/*` };
const quotas = { keys: `${root}/quotas/*` };
const pulled = { keys: `${root}/pulled/*` };
const pulledSince = { keys: `${root}/pulled/_since/*` };
const planned = { keys: `${root}/retention/planned/*` };
const applied = { keys: `${root}/retention/applied` };
// `sha???` is sha256 or sha512: tags may be called `_layers` or `_referrers`, and their keys must not match.
const layers = { keys: `${root}/repositories/*/_layers/sha???/*/link` };
const manifests = { keys: `${root}/repositories/*/_manifests/*` };
const manifestLinks = { keys: `${root}/repositories/*/_manifests/revisions/sha???/*/link` };
const tagLinks = { keys: `${root}/repositories/*/_manifests/tags/*/current/link` };
const tagHistories = { keys: `${root}/repositories/*/_manifests/tags/*/index/*` };
const referrers = { keys: `${root}/repositories/*/_referrers/sha???/*` };
// With `scanned`, the progress of the scan.
const referrersAndScan = { keys: `${root}/repositories/*/_referrers/s*` };

const get = ['s3:GetObject'];
const put = ['s3:PutObject'];
const remove = ['s3:DeleteObject'];
const abort = ['s3:AbortMultipartUpload'];

type Condition = (parameters: Parameters) => boolean;

const onS3: Condition = ({ storage }) => storage === 's3';
const hasPolicy: Condition = (parameters) => onS3(parameters) && parameters.auth === 'policy';
/** Rules for retention and quotas, in the policy or in an object of their own. */
const hasRules: Condition = (parameters) =>
  hasPolicy(parameters) || (onS3(parameters) && rulesKey(parameters) !== undefined);
const writes: Condition = (parameters) =>
  onS3(parameters) && !isTrue(parameters.settings['REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED']);
const deletes: Condition = (parameters) =>
  writes(parameters) && isTrue(parameters.settings['REGISTRY_STORAGE_DELETE_ENABLED'] ?? 'true');
const collects: Condition = (parameters) => writes(parameters) && collectsGarbage(parameters);
const tells: Condition = (parameters) => writes(parameters) && tellsOfEvents(parameters);
const caches: Condition = (parameters) => writes(parameters) && hasUpstreams(parameters);
const and =
  (...conditions: readonly Condition[]): Condition =>
  (parameters) =>
    conditions.every((condition) => condition(parameters));

const httpFunctions = functionNames.filter(isHttpFunction);
const jobs = scheduledFunctionNames;

/**
 * Who may do what: each role has the rows that name it, and nothing else. Nobody may write the policy. `all` serves the routes of
 * repositories with long names.
 */
const bucketRights: readonly Right[] = [
  // The policy.
  { for: httpFunctions, on: { keys: policyKey }, actions: get, when: hasPolicy },

  // Lists, and 404 instead of 403 for missing keys: without it, AWS does not tell whether a key exists
  // (API reference of GetObject and HeadObject, "Permissions").
  {
    for: ['base', 'tags', 'manifests', 'referrers', 'blobs', 'uploads', 'all', 'data-plane'],
    on: 'bucket',
    actions: ['s3:ListBucket'],
    when: onS3,
  },
  {
    for: ['catalog', 'search'],
    on: 'bucket',
    actions: ['s3:ListBucket'],
    when: (parameters) => hasPolicy(parameters) || (onS3(parameters) && parameters.search === 'bucket'),
  },
  {
    for: ['token', 'extensions'],
    on: 'bucket',
    actions: ['s3:ListBucket'],
    when: hasPolicy,
    // They read the policy alone. It is missing or denied: their log tells which, their answer is the same.
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html',
  },
  { for: ['purge-uploads', 'reindex'], on: 'bucket', actions: ['s3:ListBucket'], when: writes },
  { for: ['gc'], on: 'bucket', actions: ['s3:ListBucket'], when: collects },

  // Reads.
  { for: ['tags'], on: tagLinks, actions: get, when: onS3 },
  { for: ['manifests', 'referrers', 'all'], on: manifests, actions: get, when: onS3 },
  {
    for: ['manifests', 'referrers', 'blobs', 'uploads', 'all', 'data-plane'],
    on: blobs,
    actions: get,
    when: onS3,
  },
  { for: ['blobs', 'uploads', 'all', 'data-plane'], on: layers, actions: get, when: onS3 },
  { for: ['referrers', 'all'], on: referrersAndScan, actions: get, when: onS3 },
  { for: ['uploads', 'all', 'data-plane'], on: uploads, actions: get, when: onS3 },
  // What a manifest refers to must be there.
  { for: ['manifests'], on: layers, actions: get, when: writes },
  // What an immutable tag needs stays.
  { for: ['blobs'], on: manifests, actions: get, when: and(deletes, hasPolicy) },

  // Uploads, and the blobs that they become. An object is copied in parts when it is large.
  {
    for: ['uploads', 'all', 'data-plane'],
    on: uploads,
    actions: [...put, ...remove, ...abort],
    when: writes,
  },
  { for: ['uploads', 'all', 'data-plane'], on: blobs, actions: [...put, ...abort], when: writes },
  { for: ['uploads', 'all', 'data-plane'], on: layers, actions: put, when: writes },

  // What quotas have in use, and what an upload or a large manifest adds to it. A data plane learns from the upload which quota it counts for.
  { for: ['manifests', 'uploads', 'all'], on: quotaSums, actions: get, when: and(writes, hasRules) },
  {
    for: ['manifests', 'uploads', 'all', 'data-plane'],
    on: quotaPushes,
    actions: put,
    when: and(writes, hasRules),
  },

  // Pushed manifests.
  { for: ['manifests'], on: blobs, actions: put, when: writes },
  { for: ['manifests', 'all'], on: manifests, actions: put, when: writes },
  { for: ['manifests'], on: referrers, actions: put, when: writes },
  { for: ['referrers', 'all'], on: referrersAndScan, actions: put, when: writes },
  // A push that loses a race for an immutable tag leaves nothing in its history. Whoever deletes may do so anyway.
  {
    for: ['manifests', 'all'],
    on: tagHistories,
    actions: remove,
    when: and(writes, hasPolicy, (parameters) => !deletes(parameters)),
  },

  // Only while garbage is collected: what is listed, whether it was rescued, and deletions that are under way. What a push needs of it
  // is rescued, and its links are written again.
  {
    for: ['manifests', 'blobs', 'uploads', 'all', 'data-plane'],
    on: collections,
    actions: get,
    when: writes,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html',
  },
  {
    for: ['manifests', 'uploads', 'all', 'data-plane'],
    on: rescued,
    actions: put,
    when: writes,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html',
  },
  {
    for: ['manifests'],
    on: layers,
    actions: put,
    when: writes,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html',
  },

  // Deletes.
  { for: ['blobs', 'all'], on: layers, actions: remove, when: deletes },
  { for: ['manifests', 'all'], on: manifests, actions: remove, when: deletes },
  // What brings a tag back.
  { for: ['manifests', 'all'], on: deleted, actions: put, when: deletes },

  // When something was pulled, if the rules ask for it.
  {
    for: ['manifests', 'all'],
    on: pulled,
    actions: [...get, ...put],
    when: and(writes, hasRules),
    // No pull fails without.
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html',
  },

  // The jobs.
  { for: ['purge-uploads'], on: 'bucket', actions: ['s3:ListBucketMultipartUploads'], when: writes },
  { for: ['purge-uploads'], on: uploads, actions: [...get, ...remove, ...abort], when: writes },
  { for: ['purge-uploads'], on: blobs, actions: [...get, ...abort], when: writes },
  // Records of deletes go when the manifests are gone that they could bring back.
  { for: ['purge-uploads'], on: deleted, actions: [...get, ...remove], when: writes },
  { for: ['purge-uploads'], on: pulled, actions: remove, when: writes },
  // Servers other than AWS may not list uploads by a prefix, which the purge finds out by starting one.
  {
    for: ['purge-uploads'],
    on: uploads,
    actions: put,
    when: and(writes, ({ settings }) => settings['REGISTRY_STORAGE_S3_REGIONENDPOINT'] !== undefined),
  },
  { for: ['reindex'], on: manifests, actions: get, when: writes },
  { for: ['reindex'], on: blobs, actions: get, when: writes },
  { for: ['reindex'], on: referrersAndScan, actions: [...get, ...put, ...remove], when: writes },

  // Garbage collection. No function but it may delete blobs.
  { for: ['gc'], on: collections, actions: [...get, ...put, ...remove], when: collects },
  { for: ['gc'], on: manifests, actions: remove, when: collects },
  { for: ['gc'], on: blobs, actions: [...get, ...remove], when: collects },
  { for: ['gc'], on: layers, actions: remove, when: collects },
  { for: ['gc'], on: referrers, actions: remove, when: collects },
  // The links that a run without --exclusive has deleted, and that a push through another registry needs, are written again. With a key
  // of KMS each tag is read, since its ETag does not tell what it points at.
  { for: ['gc'], on: tagLinks, actions: get, when: collects },
  { for: ['gc'], on: layers, actions: put, when: collects },
  { for: ['gc'], on: manifestLinks, actions: put, when: collects },
  // What the rules for retention and quotas ask of it. Tags go with a record that brings them back.
  { for: ['gc'], on: { keys: policyKey }, actions: get, when: and(collects, hasPolicy) },
  { for: ['gc'], on: planned, actions: get, when: and(collects, hasRules) },
  { for: ['gc'], on: applied, actions: [...get, ...put], when: and(collects, hasRules) },
  { for: ['gc'], on: pulledSince, actions: [...get, ...remove], when: and(collects, hasRules) },
  { for: ['gc'], on: manifests, actions: get, when: and(collects, hasRules) },
  { for: ['gc'], on: deleted, actions: [...get, ...put], when: and(collects, hasRules) },
  { for: ['gc'], on: quotaSums, actions: [...get, ...put], when: and(collects, hasRules) },
  { for: ['gc'], on: quotas, actions: remove, when: and(collects, hasRules) },
  // It tries whether the bucket refuses late changes, with an object that it removes.
  { for: ['gc'], on: uploads, actions: [...put, ...remove], when: collects },
  {
    for: ['gc'],
    on: 'bucket',
    actions: ['s3:GetReplicationConfiguration'],
    when: collects,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketReplication.html',
  },
];

/** What tells of events, where there is somebody to tell. */
const eventRights: readonly Right[] = [
  // Writers keep them before what they write can be seen, and take them back if it is refused.
  {
    for: ['manifests', 'uploads', 'all', 'data-plane'],
    on: pendingEvents,
    actions: [...put, ...remove],
    when: tells,
  },
  // A delete of a blob is refused before that.
  { for: ['blobs'], on: pendingEvents, actions: put, when: tells },
  { for: ['gc'], on: pendingEvents, actions: [...put, ...remove], when: and(tells, collects, hasRules) },
  { for: ['events'], on: 'bucket', actions: ['s3:ListBucket'], when: tells },
  { for: ['events'], on: events, actions: [...get, ...put, ...remove], when: tells },
  // Whether a write has happened.
  { for: ['events'], on: manifests, actions: get, when: tells },
  { for: ['events'], on: layers, actions: get, when: tells },
  { for: ['events'], on: blobs, actions: get, when: tells },
  { for: ['events'], on: deleted, actions: get, when: tells },
  // It tries whether the bucket refuses late changes, with an object that it removes.
  { for: ['events'], on: uploads, actions: [...put, ...remove], when: tells },
  {
    for: ['events'],
    on: 'bucket',
    actions: ['s3:GetReplicationConfiguration'],
    when: tells,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketReplication.html',
  },
];

/** What caches of other registries need, where there are upstreams. Manifests are stored as pushed ones are. */
const cacheRights: readonly Right[] = [
  // Until when an upstream does not want to be asked.
  { for: [...asking, 'data-plane'], on: pauses, actions: [...get, ...put], when: caches },
  // Who copies a blob. What nobody goes on with is purged.
  { for: invoking, on: copyClaims, actions: [...get, ...put, ...remove], when: caches },
  { for: ['purge-uploads'], on: copyClaims, actions: remove, when: caches },
  // Small blobs are stored at once.
  { for: ['blobs'], on: blobs, actions: put, when: caches },
  { for: ['blobs'], on: layers, actions: put, when: caches },
  {
    for: ['blobs'],
    on: rescued,
    actions: put,
    when: caches,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html',
  },
  { for: ['copy'], on: 'bucket', actions: ['s3:ListBucket'], when: caches },
  { for: ['copy'], on: blobs, actions: [...get, ...put, ...abort], when: caches },
  { for: ['copy'], on: layers, actions: [...get, ...put], when: caches },
  { for: ['copy'], on: uploads, actions: [...get, ...put, ...remove, ...abort], when: caches },
  {
    for: ['copy'],
    on: collections,
    actions: get,
    when: caches,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html',
  },
  {
    for: ['copy'],
    on: rescued,
    actions: put,
    when: caches,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html',
  },
];

/** With SCS, too. */
const copyRights: readonly Right[] = [
  { for: invoking, on: 'copy function', actions: ['lambda:InvokeFunction'], when: hasUpstreams },
];

/** With SCS, too. */
const queueRights: readonly Right[] = [
  {
    for: [...writers, 'data-plane'],
    on: 'event queue',
    actions: ['sqs:SendMessage'],
    when: hasQueue,
  },
  {
    for: ['events'],
    on: 'event queue',
    actions: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'],
    when: hasQueue,
    source: 'https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html',
  },
];

/** What no operation of the registry itself asks for. */
const awsRights: readonly Right[] = [
  {
    for: functionNames,
    on: 'own logs',
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    source: 'https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html',
  },
  {
    for: [...jobs, ...invokedFunctionNames],
    on: 'dead letters',
    actions: ['sqs:SendMessage'],
    source: 'https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html',
  },
  {
    for: functionNames.filter((name) => usesSearch(name, { search: 'mysql' })),
    on: 'network interfaces',
    actions: [
      'ec2:CreateNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:DeleteNetworkInterface',
      'ec2:AssignPrivateIpAddresses',
      'ec2:UnassignPrivateIpAddresses',
    ],
    when: ({ search, subnets }) => search === 'mysql' && subnets.length > 0,
    source: 'https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html',
  },
  {
    for: [...functionNames, 'data-plane'],
    on: 'KMS key',
    actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
    when: (parameters) => onS3(parameters) && kmsKey(parameters) !== undefined,
    source: 'https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html',
  },
];

/** The ARN of the key that encrypts objects, if it is not S3's own. */
export function kmsKey({ settings }: Pick<Parameters, 'settings'>): string | undefined {
  return settings['REGISTRY_STORAGE_S3_KEYID'];
}

/** The key of the rules for retention and quotas, below the root directory, if they are not in the policy. */
function rulesKey({ settings }: Pick<Parameters, 'settings'>): string | undefined {
  return settings['REGISTRY_RETENTION_OBJECT'];
}

/** Who reads the rules, where they are not in the policy. */
function readRules(parameters: Parameters): readonly Right[] {
  const keys = rulesKey(parameters);
  if (keys === undefined) return [];
  return [
    { for: ['manifests', 'uploads', 'all'], on: { keys }, actions: get, when: writes },
    { for: ['gc'], on: { keys }, actions: get, when: collects },
  ];
}

/** Queues and event buses that are endpoints of events. */
function tellTargets(parameters: Parameters): readonly Right[] {
  const rows = [
    [['sqs:SendMessage'], targetArns(parameters, 'sqs')],
    [['events:PutEvents'], targetArns(parameters, 'eventbridge')],
  ] as const;
  return rows.flatMap(([actions, arns]): Right[] =>
    arns.length === 0 ? [] : [{ for: ['events'], on: { arns }, actions }],
  );
}

/** The whole table with these parameters. */
export function rights(parameters: Parameters): readonly Right[] {
  const readSecrets = [...functionNames, 'data-plane' as const].flatMap((name) =>
    secretsOf(name, parameters).map((secret): Right => ({
      for: [name],
      on: { secret },
      actions: ['secretsmanager:GetSecretValue'],
    })),
  );
  const all = [
    ...bucketRights,
    ...readRules(parameters),
    ...eventRights,
    ...cacheRights,
    ...copyRights,
    ...queueRights,
    ...tellTargets(parameters),
    ...readSecrets,
    ...awsRights,
  ];
  return all.filter(({ when = () => true }) => when(parameters));
}

/** The rights of a function, or of the data plane. */
export function rightsOf(principal: Principal, parameters: Parameters): readonly Right[] {
  return rights(parameters).filter((right) => right.for.includes(principal));
}
