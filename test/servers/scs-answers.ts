import type { Content } from './scs-content.ts';
import { ScsRefusal } from './scs-refusal.ts';

/** An answer of SCS. */
export interface ScsAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** XML, or bytes of an object from `start` to before `end`. */
  readonly body?: string | { readonly content: Content; readonly start: number; readonly end: number };
}

/** Elements in their order; a list stands for as many elements of one name. */
export interface Elements {
  readonly [name: string]: string | number | boolean | Elements | readonly Elements[];
}

/** A document of this root. */
export function xml(root: string, elements: Elements): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://scs.sohucs.com/doc/">${inner(elements)}</${root}>`;
}

export function errorXml(code: string, message: string, bucket: string): string {
  const elements = {
    Code: code,
    Message: message,
    BucketName: bucket,
    RequestId: 'request-of-a-test',
    HostId: 'host',
  };
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${inner(elements)}</Error>`;
}

function inner(elements: Elements): string {
  return Object.entries(elements)
    .flatMap(([name, value]) => {
      const all = Array.isArray(value)
        ? (value as readonly Elements[])
        : [value as Elements | string | number];
      return all.map(
        (one) => `<${name}>${typeof one === 'object' ? inner(one) : escape(String(one))}</${name}>`,
      );
    })
    .join('');
}

function escape(text: string): string {
  return text.replace(/[&<>"\u0001-\u001f]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Every text between the tags of one name in a document. @throws ScsRefusal when it is not of this root */
export function textsIn(document: string, root: string, name: string): string[] {
  const [, content] =
    new RegExp(`^(?:<\\?xml[^>]*\\?>\\s*)?<${root}>(.*)</${root}>\\s*$`, 's').exec(document) ?? [];
  if (content === undefined) throw new ScsRefusal(400, 'MalformedXML', `the body is no ${root}`);
  return [...content.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(([, text = '']) => text);
}

/** Text without references. */
export function unescapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&([^;]*);/g, (_, name: string) => {
    const [, hex, decimal] = /^#(?:x([0-9a-f]+)|(\d+))$/i.exec(name) ?? [];
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    const character = named[name];
    if (character === undefined) throw new ScsRefusal(400, 'MalformedXML', `no reference &${name};`);
    return character;
  });
}
