import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import { parseReference, type Reference } from '../../protocol/references.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { UsageError } from '../command.ts';

/** An image, or a repository, as it is written for docker. */
export interface ImageName {
  /** Of another registry, perhaps with a port; undefined for one's own storage. */
  readonly host: string | undefined;
  readonly name: RepositoryName;
  /** Undefined for a repository. */
  readonly reference: Reference | undefined;
}

/** What begins a name in one's own storage, and one in another registry, whatever it looks like. */
const [own, other] = ['stowage://', 'docker://'];

/**
 * Reads the name of an image. As docker has it, the first part is a host if it has a dot or a port, or is localhost; otherwise it is a
 * part of a name in one's own storage.
 * @throws UsageError
 */
export function readImageName(text: string): ImageName {
  const [, host, rest] = split(text);
  const [, name = '', separator, reference = ''] = /^([^:@]*)(?:([:@])(.*))?$/s.exec(rest) ?? [];
  if (!isRepositoryName(name) || host === '')
    throw new UsageError(
      `${JSON.stringify(text)} is not an image such as team/app:v1 in this registry's storage, or docker.io/library/alpine:3.20 in another registry`,
    );
  return {
    host,
    name,
    reference: separator === undefined ? undefined : readReference(text, separator, reference),
  };
}

function split(text: string): readonly [string, string | undefined, string] {
  if (text.startsWith(own)) return [text, undefined, text.slice(own.length)];
  const isOther = text.startsWith(other);
  const plain = isOther ? text.slice(other.length) : text;
  const [first = '', ...parts] = plain.split('/');
  if (parts.length > 0 && (/[.:]/.test(first) || first === 'localhost'))
    return [text, first, parts.join('/')];
  return [text, isOther ? 'docker.io' : undefined, plain];
}

function readReference(text: string, separator: string, reference: string): Reference {
  try {
    const parsed = parseReference(reference);
    if ((parsed.kind === 'digest') === (separator === '@')) return parsed;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
  }
  throw new UsageError(
    `${JSON.stringify(text)} has neither a tag, as in team/app:v1, nor a digest, as in team/app@sha256:…`,
  );
}

/** As it is written in messages. */
export function shownImage({ host, name, reference }: ImageName): string {
  const repository = host === undefined ? name : `${host}/${name}`;
  if (reference === undefined) return repository;
  return reference.kind === 'tag' ? `${repository}:${reference.tag}` : `${repository}@${reference.digest}`;
}
