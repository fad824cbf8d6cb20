import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Accept, acceptOf, anything } from '../../lib/protocol/negotiation.ts';

const image = 'application/vnd.oci.image.manifest.v1+json';
const index = 'application/vnd.oci.image.index.v1+json';
const dockerImage = 'application/vnd.docker.distribution.manifest.v2+json';

/** As docker and containerd send it: several, with parameters. */
const docker = `${dockerImage}, ${index};q=0.5, application/json`;

const taken: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['', [image, index, 'text/plain'], []],
  [' ', [image, index], []],
  [',', [image, index], []],
  ['*/*', [image, index, 'text/plain'], []],
  ['application/*', [image, index], []],
  [image, [image], [index, dockerImage]],
  [docker, [dockerImage, index], [image]],
  [`${image},${index}`, [image, index], [dockerImage]],
  [`  ${image}\t,\t${index}  `, [image, index], [dockerImage]],
  [`${image}, */*`, [image, index], []],
  ['text/html, application/*;q=0.1', [image, index], []],
  ['text/html', [], [image, index]],
  // What goes through gateways comes in any case; so do types (section 8.3.1).
  [image.toUpperCase(), [image], [index]],
  // An image, and not one whose name begins or ends so.
  [`${image}x, x${image}, ${image.slice(0, -1)}`, [], [image]],
  // A weight of 0 is no; every other is yes.
  [`${image};q=0, */*`, [index], [image]],
  [`*/*, ${image};q=0.000`, [index], [image]],
  [`${image};Q=0., ${index}`, [index], [image]],
  [`${image} ; q=0 , ${index}`, [index], [image]],
  [`${image};charset=utf-8;q=0, ${index}`, [index], [image]],
  ['*/*;q=0', [], [image, 'text/plain']],
  ['application/*;q=0, */*', ['text/plain'], [image]],
  [`application/*;q=0, ${image}`, [image], [index]],
  ['application/*', [image], ['text/plain']],
  [`${image};q=0.001`, [image], [index]],
  [`${image};q=1`, [image], [index]],
  [`${image};q=1.000;x=0`, [image], [index]],
  [`${image};xq=0`, [image], [index]],
  // Weights have at most three digits; invalid ones are ignored.
  [`${image};q=0.0000`, [image], [index]],
  [`${image};q=`, [image], [index]],
  [`${image};q`, [image], [index]],
];

describe('Accept', () => {
  for (const [header, takes, refuses] of taken)
    it(`reads ${JSON.stringify(header)}`, () => {
      const accept = new Accept(header);
      for (const type of takes) assert.equal(accept.accepts(type), true, `${type} is refused`);
      for (const type of refuses) assert.equal(accept.accepts(type), false, `${type} is taken`);
    });

  it('a header is parsed once, for 64 headers of usual length', () => {
    const first = acceptOf(docker);
    assert.equal(acceptOf(docker), first);
    assert.equal(first.names(dockerImage), true);
    assert.equal(acceptOf(image).names(dockerImage), false);
    for (let i = 0; i < 64; i++) acceptOf(`${docker}, ${i}`);
    assert.notEqual(acceptOf(docker), first);
    const long = ' '.repeat(1025);
    assert.notEqual(acceptOf(long), acceptOf(long));
  });

  it('Accept names listed types, and nothing for a wildcard', () => {
    const accept = new Accept(`${image};q=0.9, application/*, */*, ${dockerImage};q=0`);
    assert.equal(accept.names(image), true);
    assert.equal(accept.names(index), false);
    assert.equal(accept.names(dockerImage), false);
    assert.equal(new Accept(image.toUpperCase()).names(image), true);
  });

  it('a missing Accept header takes any type and names none', () => {
    assert.equal(anything.accepts(index), true);
    assert.equal(anything.names(index), false);
  });

  it('Accept finds each of its types in any order', () => {
    const type = fc.constantFrom<string[]>(image, index, dockerImage, 'text/html', 'application/json');
    const noise = fc.stringMatching(/^[ -~]{0,30}$/).filter((text) => !/[*,]/.test(text));
    fc.assert(
      fc.property(fc.array(type, { minLength: 1 }), fc.array(noise), (types, others) => {
        const accept = new Accept([...others.map((text) => `x${text}`), ...types, ...others].join(', '));
        for (const each of types) assert.equal(accept.names(each), true);
        for (const each of [image, index])
          assert.equal(accept.accepts(each), types.includes(each), `${each} beside ${others.join()}`);
      }),
    );
  });

  for (const [what, header] of Object.entries({
    'a hundred thousand commas': ','.repeat(100_000),
    'a hundred thousand semicolons': `${image}${';'.repeat(100_000)}`,
    'a hundred thousand blanks': `${image}${' '.repeat(100_000)}x`,
    'a hundred thousand zeros': `${image};q=0.${'0'.repeat(100_000)}`,
    'twenty thousand weights': `${image}${';q=0.5'.repeat(20_000)}`,
    'a type of a hundred thousand characters': `${'a'.repeat(100_000)}/${'*/'.repeat(1000)}`,
    'twenty thousand types': `a/${'b, c/'.repeat(20_000)}`,
  }))
    it(`Accept is read quickly for ${what}`, () => {
      const start = performance.now();
      const accept = new Accept(header);
      accept.accepts(image);
      accept.names(index);
      const took = performance.now() - start;
      // Far above what it takes, for machines that do other work; below what backtracking would.
      assert.ok(took < 3000, `${took} ms`);
    });
});
