import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { dataPlanePage, withCosts } from '../../../infra/docs/data-plane-tables.ts';

it('the documentation of the data plane has the costs of its templates', () => {
  const page = readFileSync(dataPlanePage, 'utf8');
  assert.equal(page, withCosts(page), 'run: npm run docs');
  assert.match(page, /`fargate`, one task \| \$\d/);
});
