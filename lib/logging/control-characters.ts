const unescaped = /[\u007f-\u009f\u2028\u2029]/;
const allUnescaped = new RegExp(unescaped, 'g');

/** Escapes the control characters that JSON leaves as they are, since some terminals obey them. @param json text of JSON */
export function escapeControls(json: string): string {
  // Nearly all lines have none.
  if (!unescaped.test(json)) return json;
  return json.replace(
    allUnescaped,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
