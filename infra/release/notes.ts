/*
 * `npm run --silent release-notes -- v1.2.3` prints what CHANGELOG.md says of a release. It fails where the tag, package.json and
 * CHANGELOG.md do not agree.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** What a release is made of. */
export interface Release {
  /** Such as `v1.2.3` or `v1.2.3-rc.1`. */
  readonly tag: string;
  /** The version in package.json. */
  readonly version: string;
  /** The text of CHANGELOG.md. */
  readonly changelog: string;
  /** The URL of the repository's files at the tag, which relative links get; undefined to leave them. */
  readonly filesUrl?: string | undefined;
}

/** The section of a release. @throws Error with all faults */
export function releaseNotes({ tag, version, changelog, filesUrl }: Release): string {
  const faults: string[] = [];
  if (!/^v\d+\.\d+\.\d+(-[\w.]+)?$/.test(tag))
    faults.push(`${JSON.stringify(tag)} is not the tag of a release, such as v${version}`);
  else if (tag !== `v${version}`)
    faults.push(
      `the tag is ${tag} and package.json has ${version}: run npm version ${tag.slice(1)}, or tag v${version}`,
    );
  const section = sectionOf(changelog, version);
  if (section === undefined)
    faults.push(`CHANGELOG.md has no section "## ${version} - DATE": give "## Unreleased" that title`);
  else if (section === '') faults.push(`the section of ${version} in CHANGELOG.md is empty`);
  if (section === undefined || faults.length > 0) throw new Error(faults.join('\n'));
  return filesUrl === undefined ? section : withAbsoluteLinks(section, filesUrl);
}

/** The text below a heading such as `## 1.2.3 - 2026-11-27` or `## [1.2.3] - 2026-11-27`, up to the next one. */
function sectionOf(changelog: string, version: string): string | undefined {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((one) => /^\[?([^\]\s]+)\]?/.exec(one)?.[1] === version);
  return section?.replace(/^.*\n/, '').trim();
}

function withAbsoluteLinks(text: string, filesUrl: string): string {
  return text.replaceAll(/\]\((?!https?:|#)([^)\s]+)\)/g, `](${filesUrl}/$1)`);
}

if (import.meta.main) main();

function main(): void {
  const { positionals } = parseArgs({ allowPositionals: true, options: {} });
  const [tag] = positionals;
  if (tag === undefined || positionals.length > 1) {
    console.error('Usage: npm run --silent release-notes -- TAG');
    process.exit(2);
  }
  const read = (name: string) => readFileSync(join(import.meta.dirname, '../..', name), 'utf8');
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository } = process.env;
  const filesUrl = repository === undefined ? undefined : `${server}/${repository}/blob/${tag}`;
  try {
    console.log(releaseNotes({ tag, version, changelog: read('CHANGELOG.md'), filesUrl }));
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
