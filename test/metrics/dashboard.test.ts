import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryFolder } from '../servers/folder.ts';
import { startPrometheus, type Prometheus, type Sample } from '../servers/prometheus.ts';
import { requires } from '../servers/requires.ts';
import { makeTraffic, measuredServer } from './metrics-server.ts';

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const file = join(import.meta.dirname, '../../infra/grafana/stowage.json');
const dashboard = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};

const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
);

/** The expression that Grafana would send, with its variables at their defaults. */
function resolved(expression: string): string {
  const values = { $job: '.+', $instance: '.+', $__rate_interval: '10s' };
  return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(name, value), expression);
}

/** Metric names of an expression: words before a brace. */
function namesIn(expression: string): string[] {
  return [...expression.matchAll(/\b([a-z]\w+)\{/g)].map(([, name = '']) => name);
}

describe('the dashboard of Grafana', async () => {
  const { client, text, debug, stop } = await measuredServer({
    REGISTRY_NOTIFICATIONS_ENDPOINTS: '[{name: builds, url: "http://127.0.0.1:1/", privateaddresses: true}]',
  });

  after(stop);

  it('asks only for metrics that a server has', async () => {
    await makeTraffic(client);
    const metrics = await text();
    assert.ok(queries.length > 25);
    for (const { title, expr } of queries) {
      assert.doesNotMatch(resolved(expr), /\$/, `${title}: an unknown variable`);
      const names = namesIn(expr);
      assert.ok(names.length > 0, title);
      // Prometheus makes it itself.
      for (const name of names.filter((one) => one !== 'up'))
        assert.match(metrics, new RegExp(`^${name}[ {]`, 'm'), title);
    }
  });

  it('has titles that differ', () => {
    const titles = dashboard.panels.map(({ title }) => title);
    assert.deepEqual(titles, [...new Set(titles)]);
  });

  it('gets an answer to each of its queries from a real Prometheus', requires('prometheus'), async () => {
    const prometheus = await startPrometheus(debug);
    const open = new Map(queries.map(({ title, expr }) => [expr, title]));
    const deadline = Date.now() + 20_000;
    while (open.size > 0 && Date.now() < deadline) {
      await makeTraffic(client);
      for (const expr of open.keys()) if (hasNumber(await ask(prometheus, expr))) open.delete(expr);
      await delay(300);
    }
    await prometheus.stop();
    assert.deepEqual([...open.values()], [], 'these panels would be empty');
  });
});

it(
  'the alerts of docs/metrics.md are rules of Prometheus, with metrics that the page has',
  requires('promtool'),
  async () => {
    const folder = await temporaryFolder('alerts');
    const page = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8');
    const [, alerts = ''] = /^Alerts worth having:\n\n```yaml\n(.*?)^```$/ms.exec(page) ?? [];
    assert.match(alerts, /^- alert: /);
    const rules = `groups:\n- name: registry\n  rules:\n${alerts.replaceAll(/^/gm, '  ')}`;
    const file = join(folder.path, 'rules.yml');
    writeFileSync(file, rules);
    execFileSync('promtool', ['check', 'rules', file], { stdio: 'pipe' });
    folder.remove();
    for (const [name] of alerts.matchAll(/\b(registry|stowage)_\w+/g))
      assert.ok(page.includes(`| \`${name}\``) || page.includes(`, \`${name}\``), name);
  },
);

async function ask(prometheus: Prometheus, expression: string): Promise<readonly Sample[]> {
  return await prometheus.query(resolved(expression));
}

/** A division by zero shows nothing. */
function hasNumber(samples: readonly Sample[]): boolean {
  return samples.some(({ value }) => Number.isFinite(value));
}
