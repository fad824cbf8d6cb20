import { attachedTo } from '../protocol/referrers.ts';
import type { Tag } from '../protocol/tags.ts';
import { parsePlatform, type WantedPlatform } from '../copy/platforms.ts';
import { readOptions, UsageError, type Command } from './command.ts';
import { readImageName, shownImage, type ImageName } from './copy/image-name.ts';
import { Copies, type AccessOptions } from './copy/open.ts';
import { Run, type Job } from './copy/run.ts';
import { readPassword } from './read-password.ts';

export const command: Command = {
  summary: 'copy an image into this registry, or within it',
  usage: `Usage: stowage copy SOURCE TARGET [OPTION]… [FILE]

Copies an image with its signatures and SBOMs. Within the storage of this registry no layers are copied, so a promotion takes
a moment whatever the size of the image.

  SOURCE  in this registry's storage, such as team/app:v1 or team/app@sha256:…, or in another registry, such as
          docker.io/library/alpine:3.20: as for docker, the first part is a host if it has a dot or a port
  TARGET  in this registry's storage, such as prod/app:v1; the tag is that of SOURCE unless given
  FILE    a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH

  --all-tags            copy all tags; SOURCE and TARGET have none
  --platform OS/ARCH    copy the image for a platform, such as linux/amd64, instead of an index with all of its images. Given
                        several times, the index with these images alone, if the registry accepts incomplete indexes
  --no-referrers        leave out signatures, SBOMs and whatever else is attached
  --username NAME       log in at the other registry; the password comes from standard input. Without, the login that docker
                        or podman have stored is used
  --plain-http          ask the other registry by http
  --private-addresses   let the other registry, and what it redirects to, have private addresses
  --dry-run             print what would be copied, and change nothing
  --json                print one object for programs

Interrupted, it is completed by a repetition. The exit code is 1 if something could not be copied.`,
  run: async (args) => await run(args),
};

const options = {
  'all-tags': { type: 'boolean' },
  platform: { type: 'string', multiple: true },
  'no-referrers': { type: 'boolean' },
  username: { type: 'string' },
  'plain-http': { type: 'boolean' },
  'private-addresses': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = readOptions(args, options);
  const [from, to, file, more] = positionals;
  if (from === undefined || to === undefined) throw new UsageError('name the SOURCE and the TARGET');
  if (more !== undefined) throw new UsageError(`${JSON.stringify(more)} is one argument too many`);
  const [source, target] = [readImageName(from), readImageName(to)];
  assertOwn(target);
  const allTags = values['all-tags'] === true;
  if (allTags) assertNoTags(source, target);
  const tag = allTags ? undefined : tagOf(source, target);
  const platforms = (values.platform ?? []).map(readPlatform);
  const { 'dry-run': dryRun = false, json = false } = values;
  const access: AccessOptions = {
    credentials: await credentialsOf(values.username, source),
    plainHttp: values['plain-http'] === true,
    privateAddresses: values['private-addresses'] === true,
    remedy: 'give --private-addresses if that is meant',
  };
  const copies = await Copies.open(file, { writes: !dryRun });
  const job = {
    source: await copies.source(source, access),
    target: target.name,
    platforms,
    referrers: values['no-referrers'] !== true,
  };
  const report = new Run(copies, { dryRun, json });
  if (allTags) await copyTags(report, job);
  else if (source.reference !== undefined) await report.copy({ ...job, reference: source.reference, tag });
  return await report.end();
}

/** What is attached to images comes along with them. */
async function copyTags(run: Run, job: Omit<Job, 'reference' | 'tag'>): Promise<void> {
  await run.attempt(job.source.title, job.target, async () => {
    const tags = await Array.fromAsync(job.source.tags());
    const knownTags: ReadonlySet<Tag> = new Set(tags);
    for (const tag of tags)
      if (!job.referrers || attachedTo(tag) === undefined)
        await run.copy({ ...job, reference: { kind: 'tag', tag }, tag, knownTags });
  });
}

/** @throws UsageError */
function assertOwn(target: ImageName): void {
  if (target.host !== undefined)
    throw new UsageError(
      `the target ${shownImage(target)} is in another registry: stowage copies into its own storage; skopeo copy and crane copy push to other registries`,
    );
}

function assertNoTags(source: ImageName, target: ImageName): void {
  for (const one of [source, target])
    if (one.reference !== undefined)
      throw new UsageError(
        `--all-tags copies all of a repository: ${shownImage(one)} must have neither tag nor digest`,
      );
}

/** The tag that the target gets; undefined for a copy by digest alone. @throws UsageError */
function tagOf({ reference: source }: ImageName, { reference: target }: ImageName): Tag | undefined {
  if (source === undefined) throw new UsageError('SOURCE has no tag; write one, or give --all-tags');
  if (target?.kind === 'digest') throw new UsageError('TARGET has a digest; it can have a tag alone');
  if (target !== undefined) return target.tag;
  return source.kind === 'tag' ? source.tag : undefined;
}

/** @throws UsageError */
function readPlatform(text: string): WantedPlatform {
  const platform = parsePlatform(text);
  if (platform === undefined)
    throw new UsageError(
      `--platform: ${JSON.stringify(text)} is not a platform such as linux/amd64 or linux/arm/v7`,
    );
  return platform;
}

async function credentialsOf(user: string | undefined, { host }: ImageName) {
  if (user === undefined) return undefined;
  if (host === undefined)
    throw new UsageError('--username is for another registry, and SOURCE is in the storage of this one');
  return { user, password: await readPassword('once') };
}
