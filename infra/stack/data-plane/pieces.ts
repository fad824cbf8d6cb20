import type { Value } from '../template.ts';

/** A text, of which CloudFormation fills in the parts that are objects. */
export type Pieces = readonly Value[];

/**
 * A text of a template literal. Its values stay apart from the text around them, so that nothing in them can be taken for a
 * place of another one. Not `Fn::Sub`, for which variables of a shell are its own.
 */
export function pieces(texts: TemplateStringsArray, ...values: readonly (Value | Pieces)[]): Pieces {
  return texts.flatMap((text, index) => [text, ...[values[index] ?? []].flat()]);
}

export function joined(parts: Pieces): Value {
  return { 'Fn::Join': ['', parts.filter((part) => part !== '').map(textOrObject)] };
}

/** Words of a shell, each of which is the base64 of one piece. No content of a piece can leave its word. */
export function encodedWords(parts: Pieces): Pieces {
  return parts
    .filter((part) => part !== '')
    .flatMap((part) => [" '", typeof part === 'object' ? { 'Fn::Base64': part } : base64(part), "'"]);
}

function base64(text: string | number | boolean): string {
  return Buffer.from(String(text)).toString('base64');
}

function textOrObject(part: Value): Value {
  return typeof part === 'object' ? part : String(part);
}
