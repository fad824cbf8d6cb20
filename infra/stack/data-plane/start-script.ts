import type { Value } from '../template.ts';
import { encodedWords, pieces, type Pieces } from './pieces.ts';
import { imageLoginFile, settingsFile } from './unit.ts';

/** What the script writes and reports. */
export interface Setup {
  readonly caddyfile: Pieces;
  readonly unit: string;
  /** `NAME=value` lines. None is secret. */
  readonly settings: Pieces;
  /** The host of the image, if it is a registry of ECR, where the role of the instance may read it. */
  readonly ecr: string | undefined;
  /** A URL that takes a signal of CloudFormation. */
  readonly signalUrl: Value;
}

const updates = `APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "04:00";
`;

const caddyUnit = `[Service]
Restart=always
RestartSec=5
MemoryMax=25%
`;

/**
 * The script that makes a Debian 13 the data plane, and Caddy before both planes. It runs at each boot, so that a restart
 * applies changed user data, and may run any number of times.
 */
export function startScript({ caddyfile, unit, settings, ecr, signalUrl }: Setup): Pieces {
  const packages = ['caddy', 'podman', 'curl', 'unattended-upgrades'];
  if (ecr !== undefined) packages.push('amazon-ecr-credential-helper');
  const imageLogin = JSON.stringify(ecr === undefined ? {} : { credHelpers: { [ecr]: 'ecr-login' } });
  const files: readonly (readonly [path: string, content: Pieces])[] = [
    ['/etc/apt/apt.conf.d/60stowage', [updates]],
    ['/etc/systemd/system/caddy.service.d/stowage.conf', [caddyUnit]],
    [imageLoginFile, [imageLogin]],
    [settingsFile, settings],
    ['/etc/containers/systemd/stowage.container', [unit]],
    ['/etc/caddy/Caddyfile', caddyfile],
  ];
  return pieces`#!/bin/bash
set -euo pipefail
umask 022

# Tells CloudFormation how it went: the deployment waits for it. Later boots signal in vain.
signal() {
  printf '{"Status":"%s","Reason":"%s","UniqueId":"instance","Data":"-"}' "$1" "$2" >/run/stowage-signal.json
  curl --silent --show-error --retry 3 --upload-file /run/stowage-signal.json '${signalUrl}' >/dev/null || true
}

fail() {
  echo "stowage: $1" >&2
  journalctl --unit stowage --unit caddy --lines 50 --no-pager >&2 || true
  signal FAILURE "$1; aws ec2 get-console-output has the log"
  exit 1
}
trap 'fail "line $LINENO of the user data failed"' ERR

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local options=(--option DPkg::Lock::Timeout=300 --option Acquire::Retries=5)
  apt-get --quiet "\${options[@]}" update
  apt-get --quiet "\${options[@]}" install --yes --no-install-recommends ${packages.join(' ')}
}

# The address of a new instance changes once, which breaks downloads.
for attempt in 1 2 3 4 5; do
  dpkg --status ${packages.join(' ')} >/dev/null 2>&1 && break
  install_packages || sleep $((attempt * 10))
done
dpkg --status ${packages.join(' ')} >/dev/null 2>&1 || fail 'the packages of Debian could not be installed'

# Updates of packages can need more memory than the smallest instances have.
if [ ! -e /var/swapfile ]; then
  fallocate --length 512M /var/swapfile
  chmod 600 /var/swapfile
  mkswap /var/swapfile >/dev/null
fi
swapon /var/swapfile 2>/dev/null || true

# Writes a file of pieces in base64, and remembers whether it has changed.
changed=
write() {
  mkdir -p "\${1%/*}"
  local piece
  for piece in "\${@:2}"; do base64 --decode <<<"$piece"; done >"$1.new"
  if cmp --silent "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; changed=yes; fi
}
${files.map(([path, content]) => [`write ${path}`, ...encodedWords(content), '\n']).flat()}
systemctl daemon-reload
# What has not changed was started by the boot.
[ -z "$changed" ] || systemctl stop stowage caddy || true
systemctl start stowage || fail 'the data plane does not start'
systemctl start caddy || fail 'Caddy does not start'

# Its certificate must wait until the name leads to the address of this instance.
for attempt in $(seq 60); do
  if curl --silent --fail --max-time 10 http://127.0.0.1:5000/readyz >/dev/null; then
    podman image prune --all --force >/dev/null || true
    signal SUCCESS 'the data plane is ready'
    exit 0
  fi
  sleep 2
done
fail 'the data plane is not ready: it cannot use the bucket, or does not start'
`;
}

/** User data of cloud-init with which a script runs at each boot, not only at the first one. */
export function userData(script: Pieces): Pieces {
  const boundary = 'stowage-user-data';
  return pieces`Content-Type: multipart/mixed; boundary="${boundary}"
MIME-Version: 1.0

--${boundary}
Content-Type: text/cloud-config; charset="us-ascii"

${cloudConfig}
--${boundary}
Content-Type: text/x-shellscript; charset="us-ascii"

${script}
--${boundary}--
`;
}

/** https://repost.aws/knowledge-center/execute-user-data-ec2 */
export const cloudConfig = `#cloud-config
cloud_final_modules:
  - [scripts-user, always]
`;
