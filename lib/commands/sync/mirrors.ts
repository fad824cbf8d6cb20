import { readFile } from 'node:fs/promises';
import { Fields } from '../../access/policy/fields.ts';
import { ParseContext } from '../../access/policy/parse-context.ts';
import { readTags } from '../../access/policy/parse-retention.ts';
import { PolicyError } from '../../access/policy/policy-error.ts';
import type { TagPattern } from '../../access/policy/storage-rules.ts';
import { shown, YamlReader, type YamlNode } from '../../access/policy/yaml-reader.ts';
import { parsePlatform, type WantedPlatform } from '../../copy/platforms.ts';
import { UsageError } from '../command.ts';
import { readImageName, shownImage, type ImageName } from '../copy/image-name.ts';

/** Bytes of a file. */
const maxSize = 1024 * 1024;

/** A repository, or one image of it, that is mirrored. */
export interface Mirror {
  readonly source: ImageName;
  /** Without a reference. */
  readonly target: ImageName;
  /** Which tags; undefined for the one image that the source names. */
  readonly tags: readonly TagPattern[] | undefined;
  readonly platforms: readonly WantedPlatform[];
  readonly referrers: boolean;
}

/** How a registry is asked that is not on https at a public address. */
export interface RegistryAccess {
  readonly plainHttp: boolean;
  readonly privateAddresses: boolean;
}

export interface Mirrors {
  readonly images: readonly Mirror[];
  /** By host. */
  readonly registries: ReadonlyMap<string, RegistryAccess>;
}

/** Reads a list of mirrors. @throws Error with all that is wrong */
export async function readMirrors(path: string): Promise<Mirrors> {
  const bytes = await readFile(path);
  if (bytes.byteLength > maxSize) throw new Error(`${path} has more than ${maxSize} bytes`);
  try {
    return parseMirrors(bytes.toString());
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const lines = error.faults.slice(0, 100).map(({ line, message }) => `  - line ${line}: ${message}`);
    throw new Error([`${path} is not a list of mirrors:`, ...lines].join('\n'), { cause: error });
  }
}

/** @throws PolicyError */
function parseMirrors(text: string): Mirrors {
  const reader = new YamlReader(text);
  const fields = new Fields(reader, reader.root, 'the file', ['registries', 'images']);
  const registries = fields.optional('registries', (node, what) => readRegistries(reader, node, what));
  const context = new ParseContext(reader, { groups: [], ci: [] });
  const images = fields.required('images', (node, what) =>
    reader.items(node, what).map((item, i) => readMirror(context, item, `image ${i + 1}`)),
  );
  reader.assertValid();
  return {
    images: (images ?? []).filter((image) => image !== undefined),
    registries: registries ?? new Map<string, RegistryAccess>(),
  };
}

function readRegistries(reader: YamlReader, node: YamlNode, what: string): Map<string, RegistryAccess> {
  const registries = reader.entries(node, what).map(({ key, value }): [string, RegistryAccess] => {
    const fields = new Fields(reader, value, key, ['plainHttp', 'privateAddresses']);
    const flag = (name: string) => fields.optional(name, (one, of) => readFlag(reader, one, of)) ?? false;
    return [key, { plainHttp: flag('plainHttp'), privateAddresses: flag('privateAddresses') }];
  });
  return new Map(registries);
}

function readMirror(context: ParseContext, node: YamlNode, what: string): Mirror | undefined {
  const { reader } = context;
  const fields = new Fields(reader, node, what, ['source', 'target', 'tags', 'platforms', 'referrers']);
  const source = fields.required('source', (value, of) => readName(reader, value, of));
  const target = fields.required('target', (value, of) => readName(reader, value, of));
  const tags = fields.optional('tags', (value, of) => readTags(context, value, of));
  const platforms = fields.optional('platforms', (value, of) => readPlatforms(reader, value, of));
  const referrers = fields.optional('referrers', (value, of) => readFlag(reader, value, of));
  if (source === undefined || target === undefined) return undefined;
  if (target.host !== undefined || target.reference !== undefined)
    fields.fault(
      `target of ${what} is ${shownImage(target)}; it must be a repository in this registry's storage, without a tag`,
    );
  if (source.reference?.kind === 'digest')
    fields.fault(`source of ${what} has a digest, which never changes; copy it once with stowage copy`);
  if ((source.reference === undefined) === (tags === undefined))
    fields.fault(`${what} needs either a tag in its source, or tags, such as tags: '*'`);
  return { source, target, tags, platforms: platforms ?? [], referrers: referrers ?? true };
}

function readName(reader: YamlReader, node: YamlNode, what: string): ImageName | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  try {
    return readImageName(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    reader.fault(node, `${what}: ${error.message}`);
    return undefined;
  }
}

function readPlatforms(reader: YamlReader, node: YamlNode, what: string): WantedPlatform[] {
  return reader.texts(node, what).flatMap(({ text, node: at }) => {
    const platform = parsePlatform(text);
    if (platform === undefined)
      reader.fault(at, `${what}: ${shown(text)} is not a platform such as linux/amd64 or linux/arm/v7`);
    return platform ?? [];
  });
}

function readFlag(reader: YamlReader, node: YamlNode, what: string): boolean {
  return reader.choice(node, what, ['true', 'false']) === 'true';
}
