import { escapeControls } from './control-characters.ts';

/** A line of the log as `name=value` pairs (logfmt), as distribution's formatter `text` writes them. @param json a line */
export function textLine(json: string): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const pairs = [...Object.entries({ time, level, msg }), ...Object.entries(fields)];
  return `${pairs.flatMap(([name, value]) => pairsOf(name, value)).join(' ')}\n`;
}

/** Fields of an object, such as an error, are named by their path: `err.message`. */
function pairsOf(name: string, value: unknown): string[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return pairsOf(name, value.join(', '));
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([field, content]) => pairsOf(`${name}.${field}`, content));
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return [`${name}=${/^[\w./:@+-]+$/.test(text) ? text : escapeControls(JSON.stringify(text))}`];
}
