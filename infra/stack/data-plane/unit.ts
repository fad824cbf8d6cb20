/** Seconds that requests in flight have when the data plane stops. A machine that shuts down gives it hardly more. */
const drainSeconds = 60;

/** What the instance's data plane needs beside the settings of both planes. */
export const unitSettings = {
  REGISTRY_HTTP_ADDR: '127.0.0.1:5000',
  // Caddy, which alone connects.
  REGISTRY_HTTP_TRUSTEDPROXIES: '127.0.0.1',
  REGISTRY_HTTP_DRAINTIMEOUT: `${drainSeconds}s`,
} as const;

/** The file of its settings, none of which is secret. */
export const settingsFile = '/etc/stowage/data-plane.env';

/** Where podman finds a helper for the passwords of private images. */
export const imageLoginFile = '/etc/stowage/image-login.json';

/**
 * The data plane as a service of systemd: a unit of podman's generator, podman-systemd.unit(5) of podman 5.
 * @param image for arm64
 */
export function unit(image: string): string {
  return `[Unit]
Description=The data plane of Stowage
Wants=network-online.target
After=network-online.target

[Container]
Image=${image}
Exec=serve data-plane
ContainerName=stowage
EnvironmentFile=${settingsFile}
# It listens on loopback, and reads its secrets and the bucket with the role of the instance, whose credentials are given
# to processes of this machine only, not to bridged networks.
Network=host
ReadOnly=true
DropCapability=all
NoNewPrivileges=true
# systemd restarts what ends. A check would start a second Node every 30 s.
HealthCmd=none
StopTimeout=${drainSeconds + 10}

[Service]
Environment=REGISTRY_AUTH_FILE=${imageLoginFile}
Restart=always
RestartSec=5
# Until the image is there.
TimeoutStartSec=600
TimeoutStopSec=${drainSeconds + 30}
# Of the machine's. The rest is for Caddy and updates.
MemoryMax=60%

[Install]
WantedBy=multi-user.target
`;
}
