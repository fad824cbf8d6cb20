/** The fields of a JSON object, whatever they are. */
export type Fields = Readonly<Record<string, unknown>>;

/** The fields of a JSON object that was written to the bucket; undefined for anything else. */
export function fieldsOf(bytes: Buffer): Fields | undefined {
  try {
    return asFields(JSON.parse(bytes.toString()));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** @returns undefined for what is no object */
export function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
