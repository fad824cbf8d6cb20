import type { ParseContext } from './parse-context.ts';
import { shown, type YamlNode } from './yaml-reader.ts';

/** Bytes of each unit. */
const units: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** 5000 TB, which a number still holds exactly. */
const maxBytes = 5e15;

/** Reads bytes with their unit. */
export function readSize({ reader }: ParseContext, node: YamlNode, what: string): number | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  const [, number, unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?) ?([A-Za-z]{1,3})$/.exec(text) ?? [];
  const bytes = Math.round(Number(number) * (units[unit] ?? Number.NaN));
  if (bytes >= 1 && bytes <= maxBytes) return bytes;
  reader.fault(
    node,
    `${what} cannot be ${shown(text)}; it must be a size up to 5000 TB with its unit, such as 50 GB or 500 MiB`,
  );
  return undefined;
}
