import type { YamlFault } from '../../yaml/parse.ts';

const misplaced =
  'something is out of place here; a text with one of : # { } [ ] , & * ! | > % @ ` may need quotes';

/** The library's own words may quote the file, which has secrets. */
const sentences: Readonly<Record<YamlFault['code'], string>> = {
  ALIAS_PROPS: 'an alias (*) has an anchor (&) or a tag (!); remove it',
  BAD_ALIAS:
    'this alias (*) or anchor (&) has no name, or nothing has its name; put a text that begins with * or & in quotes',
  BAD_COLLECTION_TYPE: 'the tag (!) does not fit what follows; put a text that begins with ! in quotes',
  BAD_DIRECTIVE: 'a line that begins with % is a directive; put a text that begins with % in quotes',
  BAD_DQ_ESCAPE:
    'a backslash in double quotes begins an escape, and this one does not exist; use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines above; indent the keys of one mapping alike',
  BAD_PROP_ORDER: 'an anchor (&) or tag (!) is before - or ?; put it after',
  BAD_SCALAR_START: 'a text cannot begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a mapping begins in the line of another key; put a text with ": " in quotes',
  BLOCK_IN_FLOW: 'within { } and [ ] only { } and [ ] are possible',
  DUPLICATE_KEY: 'a key is there twice',
  IMPOSSIBLE: misplaced,
  KEY_OVER_1024_CHARS: 'a key has more than 1024 characters',
  MISSING_CHAR: 'a character is missing, such as the closing quote or bracket, the : after a key, or a space',
  MULTILINE_IMPLICIT_KEY:
    'a key must be on one line; put a space after the : in the line above, or quotes around a text with ": "',
  MULTIPLE_ANCHORS: 'a value has two anchors (&); put a text that begins with & in quotes',
  MULTIPLE_DOCS: 'a second document begins here (---); the file must have only one',
  MULTIPLE_TAGS: 'a value has two tags (!); put a text that begins with ! in quotes',
  NON_STRING_KEY: 'a key must be a text',
  RESOURCE_EXHAUSTION: 'it is nested too deeply',
  TAB_AS_INDENT: 'a tab is not indentation; use spaces',
  TAG_RESOLVE_FAILED: 'this tag (!) does not exist; put a text that begins with ! in quotes',
  TOO_MANY_TOKENS: 'the file is too large up to here',
  UNEXPECTED_TOKEN: misplaced,
};

/** A syntax error in a configuration file, without anything of its text. */
export function syntaxFault({ code, line }: YamlFault): string {
  return `line ${line}: this is not YAML: ${sentences[code]}`;
}
