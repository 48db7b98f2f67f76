/** The Helm chart: what it renders, what Kubernetes' own schemas say of that, and what it refuses. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CHART, EXAMPLE, render, resourcesIn } from './support/chart.ts';
import type { Resource } from './support/chart.ts';
import { describeWith } from './support/programs.ts';

/** The oldest that the chart is for, one between, and the newest that the validator has. */
const VERSIONS = ['1.27', '1.31', '1.37'];
const ALL = [...EXAMPLE, '--set=autoscaling.enabled=true,state.enabled=true,service.type=LoadBalancer'];
const config = readFileSync(join(CHART, 'gateway.config.ts'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'postern-chart-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly [
    {
      readonly env: readonly { readonly name: string; readonly value?: string }[];
      readonly volumeMounts: readonly { readonly mountPath: string }[];
      readonly securityContext: Readonly<Record<string, unknown>>;
    },
  ];
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
  readonly securityContext: Readonly<Record<string, unknown>>;
}

interface DeploymentSpec {
  readonly replicas?: number;
  readonly strategy: unknown;
  readonly template: { readonly metadata: { readonly annotations?: unknown }; readonly spec: Pod };
}

function only(kind: string, resources: readonly Resource[]): Resource {
  const [found, ...more] = resources.filter((one) => one.kind === kind);
  if (!found || more.length > 0) throw new Error(`not one ${kind}`);
  return found;
}

function deployment(resources: readonly Resource[]): DeploymentSpec {
  return only('Deployment', resources).spec as unknown as DeploymentSpec;
}

describeWith('helm', (helm) => {
  const resources = (...args: readonly string[]): readonly Resource[] => {
    const { status, text, complaint } = render(helm, ...EXAMPLE, ...args);
    if (status !== 0) throw new Error(complaint);
    return resourcesIn(text);
  };

  test('helm lint has nothing to say', () => {
    const { status, stdout, stderr } = spawnSync(helm, ['lint', '--strict', '.', ...EXAMPLE], {
      cwd: CHART,
      encoding: 'utf8',
    });
    expect({ status, said: stdout + stderr }).toMatchObject({ status: 0 });
  });

  test('Kubernetes waits for drainDelay and drainTimeout and 10 s more, and the config has the same times', () => {
    const { spec } = deployment(resources('--set=drainDelaySeconds=7,drainTimeoutSeconds=120')).template;
    expect(spec.terminationGracePeriodSeconds).toBe(137);
    const { env } = spec.containers[0];
    expect(env).toContainEqual({ name: 'DRAIN_DELAY_SECONDS', value: '7' });
    expect(env).toContainEqual({ name: 'DRAIN_TIMEOUT_SECONDS', value: '120' });
    for (const name of ['DRAIN_DELAY_SECONDS', 'DRAIN_TIMEOUT_SECONDS', 'ADMIN_HOST', 'INSTANCE'])
      expect(config).toContain(`env('${name}'`);
  });

  test('the config is mounted as a folder, as it was given, and a change of it makes no rollout', () => {
    const [one, other] = [resources(), resources('--set=config.files.more\\.ts=export {}')];
    expect(only('ConfigMap', one).data).toEqual({ 'gateway.config.ts': config });
    expect(only('ConfigMap', other).data).toEqual({ 'gateway.config.ts': config, 'more.ts': 'export {}' });
    expect(deployment(one).template).toEqual(deployment(other).template);
    expect(deployment(one).template.spec.containers[0].volumeMounts).toContainEqual({
      name: 'config',
      mountPath: '/etc/postern',
      readOnly: true,
    });
    expect(JSON.stringify(deployment(one))).not.toContain('subPath');
    const { status, text } = render(helm, '--set=config.existingConfigMap=own');
    expect(status).toBe(0);
    expect(resourcesIn(text).map(({ kind }) => kind)).not.toContain('ConfigMap');
    expect(text).toContain('configMap: { name: own }');
  });

  test('secrets are references, which the group of the gateway may read', () => {
    const { spec } = deployment(resources()).template;
    expect(resources().map(({ kind }) => kind)).not.toContain('Secret');
    const mounted = spec.volumes.flatMap(({ secret }) => (secret === undefined ? [] : [secret]));
    expect(mounted).toEqual(
      ['postern-tls', 'postern-passwords', 'postern-fleet'].map((secretName) => ({
        secretName,
        defaultMode: 0o440,
      })),
    );
    expect(spec.securityContext['fsGroup']).toBe(65532);
    for (const path of config.matchAll(/\$\{secrets\}\/(\w+)\//g))
      expect(spec.containers[0].volumeMounts.map(({ mountPath }) => mountPath)).toContain(
        `/secrets/${path[1]}`,
      );
  });

  test('the gateway has no rights: no root, nothing to write, no capability, no token of the API', () => {
    const { spec } = deployment(resources()).template;
    expect(spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true },
    });
    expect(spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  test('gateways come before others go, one at a time', () => {
    expect(deployment(resources()).strategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
    });
    expect(only('PodDisruptionBudget', resources()).spec).toMatchObject({ maxUnavailable: 1 });
  });

  test('by default nothing scales it, and where something does the chart says no number', () => {
    expect(deployment(resources()).replicas).toBe(2);
    const scaled = resources('--set=autoscaling.enabled=true');
    expect(deployment(scaled)).not.toHaveProperty('replicas');
    expect(only('HorizontalPodAutoscaler', scaled).spec).toMatchObject({
      behavior: { scaleDown: { stabilizationWindowSeconds: 600, policies: [{ value: 1 }] } },
    });
  });

  test('who may connect, and whereto, is as the values say', () => {
    const { ingress, egress } = only('NetworkPolicy', resources()).spec as Record<string, unknown[]>;
    const from = (label: string, value: string): unknown => [
      { namespaceSelector: { matchLabels: { [label]: value } } },
    ];
    expect(ingress).toEqual([
      { ports: [{ port: 6432, protocol: 'TCP' }], from: from('postern.example/client', 'true') },
      { ports: [{ port: 9432, protocol: 'TCP' }], from: from('kubernetes.io/metadata.name', 'monitoring') },
    ]);
    expect(egress?.map((rule) => (rule as { ports: { port: number }[] }).ports[0]?.port)).toEqual([
      53, 5432, 443, 6379,
    ]);
    expect(egress?.[1]).toMatchObject({ to: from('kubernetes.io/metadata.name', 'databases') });
    expect(egress?.[2]).not.toHaveProperty('to');
  });

  test.each([
    ['no config', [], 'config: there is none'],
    ['two configs', [...EXAMPLE, '--set=config.existingConfigMap=own'], 'not both'],
    ['a value that it does not know', [...EXAMPLE, '--set=replica=3'], 'replica'],
    ['a text for a number', [...EXAMPLE, '--set-string=drainDelaySeconds=10s'], 'drainDelaySeconds'],
    [
      'a secret without a name',
      [...EXAMPLE, '--set=secrets[0].secretName=a,secrets[0].name=null'],
      'secrets',
    ],
    ['a digest that is none', [...EXAMPLE, '--set=image.digest=latest'], 'digest'],
  ])('%s is refused', (_, args, complaint) => {
    const rendered = render(helm, ...args);
    expect(rendered.status).not.toBe(0);
    expect(rendered.complaint).toContain(complaint);
  });

  describeWith('kubernetes-validate', (validate) => {
    test.each(VERSIONS)('every resource fits the schema of Kubernetes %s', (version) => {
      const { text, complaint } = render(helm, ...ALL);
      expect(complaint).toBe('');
      // The ServiceMonitor is of the operator of Prometheus: no schema of Kubernetes has it.
      const own = text
        .split(/^---$/m)
        .filter((one) => /^kind:/m.test(one) && !one.includes('ServiceMonitor'));
      expect(own.length).toBe(8);
      const files = own.map((document, index) => {
        const file = join(folder, `${version}-${index}.yaml`);
        writeFileSync(file, document);
        return file;
      });
      const { status, stdout, stderr } = spawnSync(validate, ['--strict', '-k', version, ...files], {
        encoding: 'utf8',
      });
      expect({ status, said: stdout + stderr }).toMatchObject({ status: 0 });
    });
  });
});

describe('the chart without helm', () => {
  test('says the version of the package', () => {
    const version = (
      JSON.parse(readFileSync(join(CHART, '../../../package.json'), 'utf8')) as { version: string }
    ).version;
    expect(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')).toContain(`\nappVersion: ${version}\n`);
  });
});
