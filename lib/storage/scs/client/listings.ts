import { childrenOf, textOf, type XmlNode } from './xml.ts';

export interface ListedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly lastModified: Date;
  /** Without quotes. */
  readonly etag: string;
}

export interface ObjectListing {
  readonly objects: readonly ListedObject[];
  /** Rolled-up prefixes. */
  readonly prefixes: readonly string[];
  readonly isTruncated: boolean;
}

export interface UploadListing {
  readonly uploads: readonly { readonly key: string; readonly uploadId: string; readonly started: Date }[];
  readonly isTruncated: boolean;
  readonly nextKeyMarker: string;
  readonly nextUploadIdMarker: string;
}

/** A page of keys, from its `ListBucketResult`. */
export function readListing(result: XmlNode): ObjectListing {
  return {
    objects: childrenOf(result, 'Contents').map((entry) => ({
      key: textOf(entry, 'Key'),
      size: Number(textOf(entry, 'Size')),
      lastModified: new Date(textOf(entry, 'LastModified')),
      etag: textOf(entry, 'ETag').replace(/^"|"$/g, ''),
    })),
    prefixes: childrenOf(result, 'CommonPrefixes').map((entry) => textOf(entry, 'Prefix')),
    isTruncated: textOf(result, 'IsTruncated') === 'true',
  };
}

/** A page of uploads in progress, from its `ListMultipartUploadsResult`. */
export function readUploads(result: XmlNode): UploadListing {
  return {
    uploads: childrenOf(result, 'Upload').map((entry) => ({
      key: textOf(entry, 'Key'),
      uploadId: textOf(entry, 'UploadId'),
      started: new Date(textOf(entry, 'Initiated')),
    })),
    isTruncated: textOf(result, 'IsTruncated') === 'true',
    nextKeyMarker: textOf(result, 'NextKeyMarker'),
    nextUploadIdMarker: textOf(result, 'NextUploadIdMarker'),
  };
}
