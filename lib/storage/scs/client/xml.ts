import { XMLParser } from 'fast-xml-parser';

/** An element: its children by name, or its text. */
export type XmlNode = string | { readonly [name: string]: XmlNode | readonly XmlNode[] } | undefined;

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  // Keys may look like numbers, and start or end with a space.
  parseTagValue: false,
  trimValues: false,
  // Keys and ETags are full of numeric references; the parser's limit on them is for untrusted documents.
  htmlEntities: true,
  processEntities: { enabled: true, maxTotalExpansions: Infinity, maxExpandedLength: Infinity },
});

/** The root elements of a document by name; empty if it is not XML. */
export function readXml(text: string): Readonly<Record<string, XmlNode>> {
  try {
    return parser.parse(text) as Readonly<Record<string, XmlNode>>;
  } catch {
    return {};
  }
}

/** The children of this name in document order. */
export function childrenOf(node: XmlNode, name: string): readonly XmlNode[] {
  const children = typeof node === 'object' ? node[name] : undefined;
  return children === undefined ? [] : isList(children) ? children : [children];
}

/** The text of the first child of this name, or an empty string. */
export function textOf(node: XmlNode, name: string): string {
  const [child] = childrenOf(node, name);
  return typeof child === 'string' ? child : '';
}

/** Escapes text with the references that SCS's own SDK writes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\t\n\r]/g, (character) => references[character] ?? character);
}

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

function isList(children: XmlNode | readonly XmlNode[]): children is readonly XmlNode[] {
  return Array.isArray(children);
}
