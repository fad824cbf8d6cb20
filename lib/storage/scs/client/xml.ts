import { XMLParser } from 'fast-xml-parser';

/** An element: its children by name, or its text. */
export type XmlNode = string | { readonly [name: string]: XmlNode | readonly XmlNode[] } | undefined;

const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  // A key may look like a number, and begin or end with a space.
  parseTagValue: false,
  trimValues: false,
  // References by number, which keys and ETags are full of; the bound on how many is for documents of strangers.
  htmlEntities: true,
  processEntities: { enabled: true, maxTotalExpansions: Infinity, maxExpandedLength: Infinity },
});

/** The root elements of a document by name; none when it is no XML. */
export function readXml(text: string): Readonly<Record<string, XmlNode>> {
  try {
    return parser.parse(text) as Readonly<Record<string, XmlNode>>;
  } catch {
    return {};
  }
}

/** The children of that name, in their order. */
export function childrenOf(node: XmlNode, name: string): readonly XmlNode[] {
  if (typeof node !== 'object') return [];
  const children = node[name];
  return children === undefined ? [] : isList(children) ? children : [children];
}

/** The text of the first child of that name, or nothing. */
export function textOf(node: XmlNode, name: string): string {
  const [child] = childrenOf(node, name);
  return typeof child === 'string' ? child : '';
}

/** Text as it stands in a document, with the references that SCS's own SDK writes. */
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
