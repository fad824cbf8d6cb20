/* `npm run sizes` prints what the packages of the last build weigh. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deflateRawSync } from 'node:zlib';
import { features, type Feature } from './optional.ts';
import { filesOf, packagesFile, type Package, type Packages } from './packages.ts';

/** What the default parameters deploy: images in S3, a policy, and the bucket itself as the list. */
export const usualFeatures: readonly Feature[] = ['s3', 'policy'];

/** Bytes of a package. */
export interface Sizes {
  /** Code that is loaded at each cold start. */
  readonly start: number;
  /** Code that is loaded on demand. */
  readonly onDemand: number;
  /** The whole package as Lambda gets it. Lambda takes 50 MB at most. */
  readonly zipped: number;
}

/** Bytes of a package that has every feature. A build fails above it. */
const maxZippedBytes = 640 * 1024;
const maxZippedBytesWithMysql = 1024 * 1024;

/** @param read a file of the project */
export function sizesOf(one: Package, wanted: Iterable<Feature>, read: (file: string) => Uint8Array): Sizes {
  const contents = new Map(filesOf(one, wanted).map((file) => [file, read(file)]));
  const sum = (sizes: Iterable<number>) => [...sizes].reduce((total, size) => total + size, 0);
  const isCode = (file: string) => file.endsWith('.mjs');
  const code = sum([...contents].map(([file, bytes]) => (isCode(file) ? bytes.length : 0)));
  const start = sum(one.start.map((file) => contents.get(file)?.length ?? 0));
  return { start, onDemand: code - start, zipped: sum([...contents].map(zippedSize)) };
}

/** Without a file's two headers, a ZIP has its name twice, and its bytes deflated (APPNOTE.TXT 4.3.7, 4.3.12). */
function zippedSize([file, bytes]: [string, Uint8Array]): number {
  return 30 + 46 + 2 * file.length + deflateRawSync(bytes, { level: 9 }).length;
}

/** @throws Error naming the packages that are too large */
export function assertPackagesSmall(packages: Packages, read: (file: string) => Uint8Array): void {
  const faults = Object.entries(packages).flatMap(([name, one]) => {
    const max = one.byFeature.mysql.length > 0 ? maxZippedBytesWithMysql : maxZippedBytes;
    const { zipped } = sizesOf(one, features, read);
    return zipped > max ? [`${name} has ${zipped} bytes, more than ${max}`] : [];
  });
  if (faults.length > 0)
    throw new Error(
      `packages are too large, which infra/packages/optional.ts may help: ${faults.join('; ')}`,
    );
}

if (import.meta.main) print();

function print(): void {
  const { values } = parseArgs({ options: { features: { type: 'string' } } });
  const wanted = values.features === undefined ? usualFeatures : chosen(values.features);
  const root = join(import.meta.dirname, '../..');
  const packages = JSON.parse(readFileSync(join(root, packagesFile), 'utf8')) as Packages;
  const rows = Object.entries(packages).map(([name, one]) => {
    const { start, onDemand, zipped } = sizesOf(one, wanted, (file) => readFileSync(join(root, file)));
    return [name, ...[start, onDemand, zipped].map((bytes) => bytes.toLocaleString('en'))];
  });
  console.log(`Bytes of each function's package with ${wanted.join(', ')}:\n`);
  for (const [name = '', ...sizes] of [['function', 'at start', 'on demand', 'zipped'], ...rows])
    console.log(name.padEnd(14) + sizes.map((size) => size.padStart(12)).join(''));
}

function chosen(list: string): Feature[] {
  const names = list.split(',');
  const unknown = names.filter((name) => !features.includes(name as Feature));
  if (unknown.length === 0) return names as Feature[];
  console.error(`--features: ${unknown.join(', ')} is none of ${features.join(', ')}`);
  process.exit(2);
}
