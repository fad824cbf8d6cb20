import type { ObserveBucketRequest } from './bucket-requests.ts';
import type { Fencing, ObjectStore } from './store.ts';

/** Methods of a store that ask its storage for one thing each, with S3's names for it. */
const operations = {
  head: 'HeadObject',
  open: 'GetObject',
  read: 'GetObject',
  put: 'PutObject',
  putInOrder: 'PutObject',
  move: 'RenameObject',
  delete: 'DeleteObjects',
  list: 'ListObjectsV2',
  listNames: 'ListObjectsV2',
  createMultipart: 'CreateMultipartUpload',
  uploadPart: 'UploadPart',
  openPart: 'UploadPart',
  completeMultipart: 'CompleteMultipartUpload',
  abortMultipart: 'AbortMultipartUpload',
  'fencing.open': 'ListObjectsV2',
  'fencing.openDeletion': 'PutObject',
} as const satisfies Partial<Record<keyof ObjectStore | `fencing.${keyof Fencing}`, string>>;

/** Observes each call of a store that sends no requests of its own, such as a folder, as one request to a bucket. */
export function observedStore<Store extends ObjectStore>(store: Store, observe: ObserveBucketRequest): Store {
  return withObservedMethods(store, (method) =>
    method in operations ? () => observe(operations[method as keyof typeof operations]) : undefined,
  );
}

type Begin = () => (end: { readonly error?: unknown }) => void;
type AsyncMethod = (...parameters: readonly unknown[]) => Promise<unknown>;

/**
 * A store whose methods are observed.
 * @param beginOf called once for each method, as `fencing.open` for those of its parts; undefined for methods that are not observed
 */
export function withObservedMethods<Store extends ObjectStore | Fencing>(
  store: Store,
  beginOf: (method: string) => Begin | undefined,
): Store {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(store, {
    get(target, property) {
      const known = methods.get(property);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, property, target);
      if (property === 'fencing' && value !== undefined) {
        const fencing = withObservedMethods(value as Fencing, (method) => beginOf(`fencing.${method}`));
        methods.set(property, fencing);
        return fencing;
      }
      if (typeof value !== 'function') return value;
      const bound = value.bind(target) as AsyncMethod;
      const begin = beginOf(String(property));
      const method = begin === undefined ? bound : observed(bound, begin);
      methods.set(property, method);
      return method;
    },
    // Private fields and setters are the store's own.
    set: (target, property, value) => Reflect.set(target, property, value, target),
  });
}

function observed(method: AsyncMethod, begin: Begin): AsyncMethod {
  return async (...parameters) => {
    const end = begin();
    try {
      const result = await method(...parameters);
      end({});
      return result;
    } catch (error) {
      end({ error });
      throw error;
    }
  };
}
