import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';

const text = readFileSync(join(import.meta.dirname, '../../../infra/ci/aws-role.yml'), 'utf8');

describe('the stage of a role of CI', () => {
  const { Parameters } = parse(text, { logLevel: 'silent' }) as {
    Parameters: { Stage: { AllowedPattern: string } };
  };
  const pattern = new RegExp(`^(?:${Parameters.Stage.AllowedPattern})$`);

  it('is one, or all of a prefix with a hyphen', () => {
    for (const stage of ['dev', 'staging', 'production', 'pr-*', 'p', 'cid', 'a2345678901234567890'])
      assert.match(stage, pattern);
    for (const stage of ['*', 'pr*', '-*', 'Dev', 'a23456789012345678901', 'pr-*-x'])
      assert.doesNotMatch(stage, pattern);
  });

  it('is none whose names are those of the roles of CI', () => {
    for (const stage of ['ci', 'ci-', 'ci-*', 'ci-preview']) assert.doesNotMatch(stage, pattern);
  });

  it('has a policy that a deployment writes only where there is none', () => {
    assert.match(
      text,
      /Sid: FirstPolicy\n +Effect: Allow\n +Action: s3:PutObject\n(?: .*\n)+? +Condition:\n +'Null':\n +s3:if-none-match: 'false'\n/,
    );
    assert.equal(text.match(/s3:PutObject\b/g)?.length, 3);
  });
});
