import { digestOrUndefined, type Digest } from '../../protocol/digests.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import { isTag, type Tag } from '../../protocol/tags.ts';
import type { EventContext } from '../events.ts';
import { asFields, fieldsOf, type Fields } from '../json-fields.ts';
import type { Change, ManifestPushed, Reference } from './change.ts';
import type { Intent } from './intent.ts';

/*
 * An intent in the bucket: JSON with the version of its format. A manifest of 4 MiB may name tens of thousands of descriptors, and have as
 * many tags when it is deleted, so both are cut: what is left out is counted, and can be read from the manifest, but for the tags.
 */

const version = 1;

/** Bytes of all references, as JSON: some 700 of usual ones. */
const maxReferencesSize = 128 * 1024;

/** Tags of a deleted manifest. */
const maxTags = 1000;

/** Characters of what a client or an operator chooses. */
const maxText = 1024;

/** Bytes of an intent that is read, with some margin: the tags of a push are limited by its URL. */
export const maxIntentSize = 1024 * 1024;

export function serializeIntent({ id, at, change, context, source }: Intent): Buffer {
  const { actor, request } = context;
  const { id: requestId, protocol, method, path, host, userAgent, address } = request;
  const cut = (text: string) => text.slice(0, maxText);
  const shortRequest = {
    id: cut(requestId),
    protocol,
    method: cut(method),
    path: cut(path),
    host: cut(host),
    userAgent: cut(userAgent),
    address,
  };
  const short = { actor: actor && cut(actor), request: shortRequest };
  return Buffer.from(JSON.stringify({ version, id, at, change: bounded(change), context: short, source }));
}

function bounded(change: Change): Change {
  if (change.content !== 'manifest') return change;
  if (change.action === 'deleted') {
    const omittedTags = Math.max(0, change.tags.length - maxTags);
    return omittedTags === 0 ? change : { ...change, tags: change.tags.slice(0, maxTags), omittedTags };
  }
  const artifactType = change.artifactType?.slice(0, maxText);
  const references: Reference[] = [];
  let size = 0;
  for (const reference of change.references) {
    size += Buffer.byteLength(JSON.stringify(reference));
    if (size > maxReferencesSize) break;
    references.push(reference);
  }
  const omittedReferences = change.references.length - references.length;
  return { ...change, artifactType, references, ...(omittedReferences > 0 && { omittedReferences }) };
}

/** @returns undefined for what is no intent, and `newer` for that of a later release */
export function parseIntent(bytes: Buffer): Intent | 'newer' | undefined {
  const fields = fieldsOf(bytes);
  if (fields === undefined) return undefined;
  if (typeof fields['version'] === 'number' && fields['version'] > version) return 'newer';
  return fields['version'] === version ? readIntent(fields) : undefined;
}

/** @returns undefined if a field is missing or wrong */
export function readIntent(fields: Fields): Intent | undefined {
  try {
    const source = objectIn(fields, 'source');
    const at = new Date(textIn(fields, 'at'));
    if (Number.isNaN(at.getTime())) return undefined;
    return {
      id: textIn(fields, 'id'),
      at,
      change: readChange(objectIn(fields, 'change')),
      context: readContext(objectIn(fields, 'context')),
      source: { address: textIn(source, 'address'), instance: textIn(source, 'instance') },
    };
  } catch (error) {
    if (error instanceof NoIntent) return undefined;
    throw error;
  }
}

class NoIntent extends Error {}

function readContext(fields: Fields): EventContext {
  const request = objectIn(fields, 'request');
  const { protocol } = request;
  if (protocol !== 'http' && protocol !== 'https') throw new NoIntent();
  return {
    actor: optionalTextIn(fields, 'actor'),
    request: {
      id: textIn(request, 'id'),
      protocol,
      method: textIn(request, 'method'),
      path: textIn(request, 'path'),
      host: textIn(request, 'host'),
      userAgent: textIn(request, 'userAgent'),
      address: optionalTextIn(request, 'address'),
    },
  };
}

function readChange(fields: Fields): Change {
  const repository = nameIn(fields, 'repository');
  const { action, content } = fields;
  switch (`${String(action)} ${String(content)}`) {
    case 'pushed manifest':
      return readManifest(fields, repository);
    case 'pushed blob': {
      const [digest, size] = [digestIn(fields, 'digest'), numberIn(fields, 'size')];
      return { action: 'pushed', content: 'blob', repository, digest, size };
    }
    case 'mounted blob': {
      const size = fields['size'] === undefined ? undefined : numberIn(fields, 'size');
      const [digest, from] = [digestIn(fields, 'digest'), nameIn(fields, 'from')];
      return { action: 'mounted', content: 'blob', repository, digest, size, from };
    }
    case 'deleted tag': {
      const digest = fields['digest'] === undefined ? undefined : digestIn(fields, 'digest');
      return { action: 'deleted', content: 'tag', repository, tag: tagOf(fields['tag']), digest };
    }
    case 'deleted manifest': {
      const tags = listIn(fields, 'tags').map(tagOf);
      const digest = digestIn(fields, 'digest');
      const omitted =
        fields['omittedTags'] === undefined ? {} : { omittedTags: numberIn(fields, 'omittedTags') };
      return { action: 'deleted', content: 'manifest', repository, digest, tags, ...omitted };
    }
    case 'deleted blob':
      return { action: 'deleted', content: 'blob', repository, digest: digestIn(fields, 'digest') };
    case 'deleted repository':
      return { action: 'deleted', content: 'repository', repository };
    default:
      throw new NoIntent();
  }
}

function readManifest(fields: Fields, repository: RepositoryName): ManifestPushed {
  return {
    action: 'pushed',
    content: 'manifest',
    repository,
    digest: digestIn(fields, 'digest'),
    mediaType: textIn(fields, 'mediaType'),
    size: numberIn(fields, 'size'),
    tags: listIn(fields, 'tags').map(tagOf),
    artifactType: optionalTextIn(fields, 'artifactType'),
    subject: fields['subject'] === undefined ? undefined : digestIn(fields, 'subject'),
    references: listIn(fields, 'references').map((value) => {
      const one = asFields(value) ?? {};
      return {
        mediaType: textIn(one, 'mediaType'),
        digest: digestIn(one, 'digest'),
        size: numberIn(one, 'size'),
      };
    }),
    ...(fields['omittedReferences'] !== undefined && {
      omittedReferences: numberIn(fields, 'omittedReferences'),
    }),
  };
}

function textIn(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw new NoIntent();
  return value;
}

function optionalTextIn(fields: Fields, name: string): string | undefined {
  return fields[name] === undefined ? undefined : textIn(fields, name);
}

function numberIn(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number') throw new NoIntent();
  return value;
}

function objectIn(fields: Fields, name: string): Fields {
  const value = asFields(fields[name]);
  if (value === undefined) throw new NoIntent();
  return value;
}

function listIn(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new NoIntent();
  return value as unknown[];
}

function nameIn(fields: Fields, name: string): RepositoryName {
  const text = textIn(fields, name);
  if (!isRepositoryName(text)) throw new NoIntent();
  return text;
}

function digestIn(fields: Fields, name: string): Digest {
  const digest = digestOrUndefined(textIn(fields, name));
  if (digest === undefined) throw new NoIntent();
  return digest;
}

function tagOf(value: unknown): Tag {
  if (typeof value !== 'string' || !isTag(value)) throw new NoIntent();
  return value;
}
