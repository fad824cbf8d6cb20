/**
 * A key that some object of a JSON document has twice, if any. Parsers differ in what they make of such: the last one
 * wins, or the first, or Go's way, both together.
 * @param json that has been parsed without error
 */
export function repeatedKey(json: string): string | undefined {
  const objects: (Set<string> | undefined)[] = [];
  let text: string | undefined;
  for (let i = 0; i < json.length; i++) {
    switch (json.charAt(i)) {
      case '"': {
        const end = endOfText(json, i);
        text = json.slice(i, end);
        i = end - 1;
        break;
      }
      case '{':
        objects.push(new Set());
        break;
      case '[':
        objects.push(undefined);
        break;
      case '}':
      case ']':
        objects.pop();
        break;
      case ':': {
        // Two spellings of one key are one: "a" and "\u0061".
        const key = JSON.parse(text ?? '""') as string;
        const keys = objects.at(-1);
        if (keys?.has(key) === true) return key;
        keys?.add(key);
        break;
      }
    }
  }
  return undefined;
}

/** Whether objects and lists stand within each other more than so many times. The text need not be JSON. */
export function nestsDeeper(json: string, most: number): boolean {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json.charAt(i);
    if (quoted && char === '\\') i++;
    else if (char === '"') quoted = !quoted;
    else if (quoted) continue;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    if (depth > most) return true;
  }
  return false;
}

/** @param start of its first quote @returns what follows its last */
function endOfText(json: string, start: number): number {
  let end = start + 1;
  while (json[end] !== '"') end += json[end] === '\\' ? 2 : 1;
  return end + 1;
}

/**
 * A key that differs from one of these only by case, which Go does not see ("encoding/json", Unmarshal): its clients
 * would take it for that. Go folds case as Unicode does, so that `ſ` is an `s`.
 */
export function misspeltKey(keys: readonly string[], known: readonly string[]): string | undefined {
  const folded = new Set(known.map(fold));
  return keys.find((key) => !known.includes(key) && folded.has(fold(key)));
}

function fold(key: string): string {
  return key.toUpperCase().toLowerCase();
}
