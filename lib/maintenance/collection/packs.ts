import { createHash } from 'node:crypto';
import { digestFrom, digestOrUndefined, digestParts, type Digest } from '../../protocol/digests.ts';

/** What a manifest names: its config, layers and children, each once, and its subject. */
export interface References {
  readonly names: readonly Digest[];
  readonly subject: Digest | undefined;
}

/** What a tag pointed at, at the time when its link had this ETag. */
export interface KnownTag {
  readonly etag: string;
  readonly digest: Digest;
}

/** What is known of a repository, or of a part of a large one. */
export interface KnownRepository {
  readonly name: string;
  readonly manifests: ReadonlyMap<Digest, References>;
  readonly tags: ReadonlyMap<string, KnownTag>;
}

/**
 * A pack is the SHA-256 of its text in hexadecimal, a line end, and JSON. Each digest is in it once, and is referred to by its number:
 * those of SHA-256 come first, as Base64 of their bytes, and then the others as texts. Half a kilobyte for a usual manifest.
 */
interface Pack {
  readonly version: typeof version;
  readonly sha256: string;
  readonly others: readonly string[];
  readonly repositories: readonly {
    readonly name: string;
    /** Manifest, subject or -1, and all that it names. */
    readonly manifests: readonly (readonly number[])[];
    /** Tag, ETag and manifest. */
    readonly tags: readonly (readonly [string, string, number])[];
  }[];
}

const version = 1;

/** Bytes of the largest pack that is read. One has some thousand manifests. */
export const maxPackBytes = 256 * 1024 * 1024;

const hashDigits = 64;

export function writePack(repositories: readonly KnownRepository[]): Buffer {
  const numbers = numberDigests(repositories);
  const numberOf = (digest: Digest): number => numbers.get(digest) ?? -1;
  const digests = [...numbers.keys()];
  const hashes = digests.filter(isSha256).map((digest) => Buffer.from(digestParts(digest).hex, 'hex'));
  const pack: Pack = {
    version,
    sha256: Buffer.concat(hashes).toString('base64'),
    others: digests.filter((digest) => !isSha256(digest)),
    repositories: repositories.map(({ name, manifests, tags }) => ({
      name,
      manifests: [...manifests].map(([digest, { names, subject }]) => [
        numberOf(digest),
        subject === undefined ? -1 : numberOf(subject),
        ...names.map(numberOf),
      ]),
      tags: [...tags].map(([tag, { etag, digest }]) => [tag, etag, numberOf(digest)] as const),
    })),
  };
  const json = JSON.stringify(pack);
  return Buffer.from(`${hashOf(json)}\n${json}`);
}

/** @returns undefined if it is damaged, or of another release */
export function readPack(bytes: Buffer): KnownRepository[] | undefined {
  const hash = bytes.toString('latin1', 0, hashDigits);
  const json = bytes.subarray(hashDigits + 1);
  // What has this hash was written by this program.
  if (hashOf(json) !== hash) return undefined;
  const pack = JSON.parse(json.toString('utf8')) as Pack;
  if ((pack.version as number) !== version) return undefined;
  const digests = readDigests(pack);
  const digest = (number: number): Digest => digests[number] ?? raise();
  return pack.repositories.map(({ name, manifests, tags }) => ({
    name,
    manifests: new Map(
      manifests.map(([manifest = -1, subject = -1, ...names]) => [
        digest(manifest),
        { subject: subject < 0 ? undefined : digest(subject), names: names.map(digest) },
      ]),
    ),
    tags: new Map(tags.map(([tag, etag, number]) => [tag, { etag, digest: digest(number) }])),
  }));
}

/** Those of SHA-256 first. */
function numberDigests(repositories: readonly KnownRepository[]): Map<Digest, number> {
  const all = new Set<Digest>();
  for (const { manifests, tags } of repositories) {
    for (const [digest, { names, subject }] of manifests) {
      all.add(digest);
      if (subject !== undefined) all.add(subject);
      for (const name of names) all.add(name);
    }
    for (const { digest } of tags.values()) all.add(digest);
  }
  const digests = [...all];
  const sorted = [...digests.filter(isSha256), ...digests.filter((digest) => !isSha256(digest))];
  return new Map(sorted.map((digest, number) => [digest, number]));
}

function readDigests({ sha256, others }: Pack): Digest[] {
  const hashes = Buffer.from(sha256, 'base64');
  const digests: Digest[] = [];
  for (let at = 0; at < hashes.length; at += 32)
    digests.push(digestFrom('sha256', hashes.toString('hex', at, at + 32)));
  for (const other of others) digests.push(digestOrUndefined(other) ?? raise());
  return digests;
}

function isSha256(digest: Digest): boolean {
  return digest.startsWith('sha256:');
}

function hashOf(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}

function raise(): never {
  throw new Error('a pack of references contradicts itself');
}
