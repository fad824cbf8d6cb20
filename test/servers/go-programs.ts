import { basename, join } from 'node:path';

/** Servers and tools that no Debian package has, in Go: the package of each program, with the version of its module. */
export const goPrograms = {
  versitygw: 'github.com/versity/versitygw/cmd/versitygw@v1.7.0',
  minio: 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
  // The first of Debian's is older: version 2.8.
  registry: 'github.com/distribution/distribution/v3/cmd/registry@v3.1.1',
  // The client of test/go-clients/ as well.
  helm: 'helm.sh/helm/v4/cmd/helm@v4.3.1',
  // A client of test/go-clients/ as well.
  oras: 'oras.land/oras/cmd/oras@v1.3.6',
  // Has the schemas of Kubernetes within it, up to 1.30.
  'kubectl-validate': 'sigs.k8s.io/kubectl-validate@v0.0.4',
  // Checks GitHub's workflows, and with shellcheck their scripts.
  actionlint: 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12',
  // What docker compose reads compose.yaml with.
  'compose-go': 'github.com/compose-spec/compose-go/v2/cmd@v2.16.2',
} as const satisfies Record<string, string>;

export type GoProgram = keyof typeof goPrograms;

/** Goes with the packages of npm. */
const cache = join(import.meta.dirname, '../../node_modules/.cache/stowage-servers');

/** Where `npm run test:setup` builds this version of a program: the folder, and the file in it. */
export function goProgramPlace(name: GoProgram): { readonly folder: string; readonly file: string } {
  const [path = '', version = ''] = goPrograms[name].split('@');
  const folder = join(cache, `${name}-${version}`);
  return { folder, file: join(folder, basename(path)) };
}
