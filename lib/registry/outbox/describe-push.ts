import { digestOrUndefined } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import { asFields, fieldsOf, type Fields } from '../json-fields.ts';
import type { ManifestInfo } from '../interface.ts';
import type { ManifestPushed, Reference } from './change.ts';

/** What is pushed. */
export interface Pushed {
  readonly repository: RepositoryName;
  readonly info: ManifestInfo;
  readonly bytes: Uint8Array;
  /** That are pointed at it. */
  readonly tags: readonly Tag[];
}

/** Describes the push of a manifest of a kind that this registry accepts; of any other, without what it names. */
export function describePush({ repository, info, bytes, tags }: Pushed): ManifestPushed {
  const { digest, mediaType, size } = info;
  const fields = fieldsOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)) ?? {};
  const { artifactType } = fields;
  const config = asFields(fields['config']);
  // As in a list of referrers.
  const type = typeof artifactType === 'string' && artifactType !== '' ? artifactType : config?.['mediaType'];
  const subject = asFields(fields['subject'])?.['digest'];
  return {
    action: 'pushed',
    content: 'manifest',
    repository,
    digest,
    mediaType,
    size,
    tags,
    artifactType: typeof type === 'string' ? type : undefined,
    subject: typeof subject === 'string' ? digestOrUndefined(subject) : undefined,
    references: [fields['config'], ...listIn(fields, 'layers'), ...listIn(fields, 'manifests')].flatMap(
      (one) => readReference(one) ?? [],
    ),
  };
}

function listIn(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function readReference(value: unknown): Reference | undefined {
  const { mediaType, digest, size } = asFields(value) ?? {};
  const named = typeof digest === 'string' ? digestOrUndefined(digest) : undefined;
  if (named === undefined) return undefined;
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    digest: named,
    size: typeof size === 'number' ? size : 0,
  };
}
