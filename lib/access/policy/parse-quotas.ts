import { Fields } from './fields.ts';
import type { ParseContext } from './parse-context.ts';
import { readSize } from './parse-size.ts';
import type { QuotaRule } from './storage-rules.ts';
import type { YamlNode } from './yaml-reader.ts';

const maxRules = 10_000;

export function readQuotas(context: ParseContext, node: YamlNode): QuotaRule[] {
  if (node === null) return [];
  const items = context.reader.items(node, 'quotas');
  if (items.length > maxRules)
    context.reader.fault(items[maxRules] ?? node, `there are ${items.length} quotas, more than ${maxRules}`);
  return items.slice(0, maxRules).map((item, index) => {
    const label = `quota ${index + 1}`;
    const fields = new Fields(context.reader, item, label, ['repositories', 'quota']);
    return {
      label,
      line: context.reader.lineOf(item),
      repositories:
        fields.required('repositories', (value, what) =>
          context.repositories(value, what, { ofUser: false }),
        ) ?? [],
      bytes: fields.required('quota', (value, what) => readSize(context, value, what)) ?? 0,
    };
  });
}
