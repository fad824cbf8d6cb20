import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { showRemains, type Images } from '../../../infra/deploy/remains.ts';

const account = { id: '123456789012', region: 'eu-central-1' };

const made: Images = { store: 's3', bucket: 'stowage-dev-123456789012', rootDirectory: '', isOwn: true };

const shown = (images: Images | undefined, withSecrets = true) =>
  showRemains('dev', account, { images, withSecrets });

describe('what a removal leaves', () => {
  it('is a bucket that may be deleted if the stack made it', () => {
    const text = shown(made);
    assert.match(text, /^ {2}aws s3 rb --force s3:\/\/stowage-dev-123456789012$/m);
    assert.match(
      text,
      /# serve them again, with the parameters that the stage had\n {2}npm run deploy .*eu-central-1$/m,
    );
  });

  it('is a bucket of others if it was there before', () => {
    const text = shown({ ...made, bucket: 'images', rootDirectory: 'team/x', isOwn: false });
    assert.doesNotMatch(text, /aws s3 rb|for good/);
    assert.match(text, /npm run deploy .*--param existingBucket=images$/m);
    assert.match(text, /REGISTRY_STORAGE_S3_ROOTDIRECTORY=team\/x npm run serve/);
  });

  it('is a bucket of SCS, of which no command is known', () => {
    const text = shown({ ...made, store: 'scs', bucket: 'images', isOwn: false });
    assert.match(
      text,
      /in the bucket images of SCS\. A deployment with the same parameters serves them again/,
    );
    assert.doesNotMatch(text, /aws s3|npm run/);
  });

  it('is neither images nor secrets where there were none', () => {
    assert.equal(shown(undefined, false), '\nThe stage dev is removed.');
    assert.match(shown(undefined), /secrets can be restored/);
  });
});
