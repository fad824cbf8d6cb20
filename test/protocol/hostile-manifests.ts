/*
 * Manifests of 4 MiB made to cost whoever reads them time and memory, and the same at any other size: what is read from a
 * bucket may be larger.
 */

const types = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
};

const digest = `sha256:${'a'.repeat(64)}`;
const descriptor = (more = '') =>
  `{"mediaType":"application/octet-stream","digest":"${digest}","size":1${more}}`;

/** Pieces and what comes between, until they have so many bytes. */
function filled(size: number, piece: (i: number) => string): string {
  const pieces: string[] = [];
  for (let [i, length] = [0, 0]; length < size; i++) {
    const next = piece(i);
    length += Buffer.byteLength(next) + 1;
    pieces.push(next);
  }
  return pieces.slice(0, -1).join();
}

/** An image with a subject and another field; both readers of manifests have work with it. */
const image = (field: string) =>
  `{"schemaVersion":2,"mediaType":"${types.image}","config":${descriptor()},"layers":[],"subject":${descriptor()},${field}}`;

const index = (manifests: string) =>
  `{"schemaVersion":2,"mediaType":"${types.index}","subject":${descriptor()},"manifests":[${manifests}]}`;

/** A foreign layer. */
const elsewhere = (urls: string) =>
  index(
    descriptor(`,"urls":[${urls}]`).replace(
      'application/octet-stream',
      'application/vnd.oci.image.layer.nondistributable.v1.tar',
    ),
  );

/** Punycode takes quadratic time. */
const hardHost = Array.from({ length: 2500 }, (_, i) => String.fromCodePoint(0x4e00 + i)).join('');

const number = (i: number) => i.toString(36);

/** Texts that were made to lie in one place of a table of hashes, in some versions of V8: whole numbers. */
const colliding = (i: number) => String(2 ** 30 + (i % 180) * 2 ** 24 + Math.floor(i / 180));

/** So many pieces in so many bytes. */
function many(size: number, count: number, piece: (i: number, padding: string) => string): string {
  const padding = 'x'.repeat(Math.max(0, Math.floor(size / count) - piece(count, '').length - 8));
  return Array.from({ length: count }, (_, i) => piece(i, padding)).join();
}

/** By what they have too much of. @param size bytes */
export function hostileManifests(size: number): Readonly<Record<string, () => string | Buffer>> {
  const room = size - 700;
  const fill = (piece: (i: number) => string) => filled(room, piece);
  const text = (piece: string) => piece.repeat(Math.floor(room / Buffer.byteLength(piece)));
  /** Nearly as many values as a manifest may have. */
  const most = (piece: (i: number, padding: string) => string) => many(room, 99_000, piece);
  return {
    'as many annotations as may be': () =>
      image(`"annotations":{${most((i, x) => `"${number(i)}":"${x}"`)}}`),
    'as many long annotations': () => image(`"annotations":{${most((i, x) => `"${x}${number(i)}":"é"`)}}`),
    'as many annotations that collide': () => image(`"annotations":{${most((i) => `"${colliding(i)}":""`)}}`),
    'as many keys': () => image(`"x":{${most((i, x) => `"${x}${number(i)}":0`)}}`),
    'as many keys with escapes': () => image(`"x":{${most((i) => `"\\u0061\\u0061\\n${number(i)}":0`)}}`),
    'as many fields of a descriptor': () => index(descriptor(`,${most((i, x) => `"${x}${number(i)}":0`)}`)),
    'as many objects of one key': () =>
      image(`"x":[${many(room, 49_000, (i, x) => `{"${x}${number(i)}":[]}`)}]`),
    'as many urls': () => elsewhere(most((i, x) => `"b:${x}${number(i)}"`)),
    'empty objects': () => image(`"x":[${fill(() => '{}')}]`),
    'empty lists': () => image(`"x":[${fill(() => '[]')}]`),
    'empty texts': () => image(`"x":[${fill(() => '""')}]`),
    'short texts': () => image(`"x":[${fill((i) => `"${number(i)}"`)}]`),
    digits: () => image(`"x":[${fill(() => '1')}]`),
    words: () => image(`"x":[${fill(() => 'null')}]`),
    'broken numbers': () => image(`"x":[${fill((i) => `1.${i}e-9`)}]`),
    keys: () => image(`"x":{${fill((i) => `"${number(i)}":0`)}}`),
    'keys that collide': () => image(`"x":{${fill((i) => `"${colliding(i)}":0`)}}`),
    'keys with escapes': () => image(`"x":{${fill((i) => `"\\u0061${number(i)}":0`)}}`),
    'objects of one key': () => image(`"x":[${fill(() => '{"a":0}')}]`),
    'one key': () => image(`"x":{${fill(() => '"a":0')}}`),
    fields: () => image(fill((i) => `"x${number(i)}":0`)),
    'fields that are nearly known': () => image(fill((i) => `"layer${number(i)}":0`)),
    'a long key': () => image(`"${text('ſ')}":0`),
    'a long text': () => image(`"x":"${text('x')}"`),
    'a text of escapes': () => image(`"x":"${text('\\u00e9')}"`),
    'a text of short escapes': () => image(`"annotations":{"a":"${text('\\n')}"}`),
    'a text of emoji': () => image(`"annotations":{"a":"${text('😀')}"}`),
    'a long number': () => image(`"x":${text('9')}`),
    'a long size': () => index(descriptor().replace('"size":1', `"size":${text('9')}`)),
    'a long digest': () => index(descriptor().replace(digest, text('sha256:'))),
    'a long media type': () => image('"x":0').replace(types.image, text('a/')),
    'a long version': () => image('"x":0').replace('"schemaVersion":2', `"schemaVersion":2.${text('0')}`),
    'white space': () => image(`"x":0${text(' ')}`),
    depth: () => image(`"x":${'['.repeat(room / 2)}${']'.repeat(room / 2)}`),
    'depth of 99': () => image(`"x":[${fill(() => `${'['.repeat(97)}${']'.repeat(97)}`)}]`),
    annotations: () => image(`"annotations":{${fill((i) => `"${number(i)}":""`)}}`),
    'annotations that are null': () => image(`"annotations":{${fill((i) => `"${number(i)}":null`)}}`),
    'annotations that collide': () => image(`"annotations":{${fill((i) => `"${colliding(i)}":""`)}}`),
    'a million objects as an annotation': () => image(`"annotations":{"a":[${fill(() => '{}')}]}`),
    urls: () => elsewhere(fill(() => '"https://a"')),
    'urls that lead nowhere': () => elsewhere(fill((i) => `"a${number(i)}"`)),
    'short urls': () => elsewhere(fill(() => '""')),
    'urls with hosts that are hard to encode': () => elsewhere(fill(() => `"ftp://${hardHost}"`)),
    features: () => index(descriptor(`,"platform":{"os.features":[${fill(() => '""')}]}`)),
    'fields of a platform': () => index(descriptor(`,"platform":{${fill((i) => `"${number(i)}":0`)}}`)),
    'fields of a descriptor': () => index(descriptor(`,${fill((i) => `"${number(i)}":0`)}`)),
    data: () => index(descriptor(`,"data":"${text('AAAA')}"`)),
    'data with line ends': () => index(descriptor(`,"data":"${text('\\n')}"`)),
    'data of a list': () => index(descriptor(`,"data":[${fill(() => '0')}]`)),
    entries: () => index(fill(() => descriptor())),
    'entries that are null': () => index(fill(() => 'null')),
    'entries without a digest': () => index(fill(() => '{"digest":"x"}')),
    '2000 entries with annotations': () =>
      index(
        Array.from({ length: 2000 }, () =>
          descriptor(`,"annotations":{${filled(room / 2000 - 150, (i) => `"${number(i)}":"${number(i)}"`)}}`),
        ).join(),
      ),
    'a list of lists': () => `[${fill(() => '[]')}]`,
    'nothing but digits': () => text('1'),
    quotes: () => text('"'),
    backslashes: () => `"${text('\\\\')}"`,
    braces: () => text('{'),
    'schema 1': () => `{"schemaVersion":1,"fsLayers":[${fill(() => '{"blobSum":"x"}')}],"history":[]}`,
    'bytes that are no UTF-8': () => Buffer.alloc(size, 0xff),
    'half a character at the end': () => Buffer.concat([Buffer.alloc(size - 1, 0x20), Buffer.from([0xc3])]),
  };
}
