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
  return [`${name}=${/^[\w./:@+-]+$/.test(text) ? text : quoted(text)}`];
}

/** With JSON's escapes, and those of the control characters that JSON leaves as they are. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
