import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';
import { launch, type Server } from './process.ts';
import { REGION, s3Server, secretKey, type S3Server } from './s3.ts';

const MiB = 1024 ** 2;

const HOST = '127.0.0.1';
const ACCESS_KEY = 'test:tester';
const SECRET_KEY = secretKey();

/** What is stored, each by a server of its own. */
const KINDS = ['account', 'container', 'object'] as const;
type Kind = (typeof KINDS)[number];

/** Debian's, which has Swift's modules; another `python3` may come first on the path. */
const PYTHON = '/usr/bin/python3';

/**
 * Starts the proxy and the storage servers as processes of one that has loaded Python's modules for all, which takes each a
 * second or two of a processor otherwise. They end with it, however it ends, and it ends with any of them.
 *
 * Its arguments are a folder that has their configurations, as the programs themselves only know /etc/swift; the host; and
 * for each kind of storage its name and port, at which the rings then say that all objects of the kind are, on the one device.
 */
const CLUSTER = `
import ctypes, os, runpy, signal, sys
import eventlet.hubs
import swift.account.server, swift.container.server, swift.obj.server, swift.proxy.server
import swift.common.middleware.s3api.s3api, swift.common.wsgi
from swift.common.ring import RingBuilder
from swift.common.utils import eventlet_monkey_patch, get_hub, set_swift_dir

folder, host, *storage = sys.argv[1:]
set_swift_dir(folder)
kinds = storage[::2]
for kind, port in zip(kinds, storage[1::2]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({'region': 1, 'zone': 1, 'ip': host, 'port': int(port), 'device': 'd1', 'weight': 1})
    builder.rebalance()
    builder.get_ring().save(f'{folder}/{kind}.ring.gz')

# It goes through all objects many times, and is done only once.
eventlet_monkey_patch()
PR_SET_PDEATHSIG = 1
parent = os.getpid()
servers = []
for kind in [*kinds, 'proxy']:
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        eventlet.hubs.use_hub(get_hub())
        sys.argv = [f'/usr/bin/swift-{kind}-server', f'{folder}/{kind}-server.conf', '--verbose']
        runpy.run_path(sys.argv[0], run_name='__main__')
        os._exit(0)
    servers.append(pid)
def end(*_):
    for pid in servers:
        os.kill(pid, signal.SIGTERM)
    for pid in servers:
        os.waitpid(pid, 0)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
os.wait()
sys.exit('one of the servers has ended')
`;

/** Starts OpenStack Swift with its S3 interface: a whole cluster on one device, in a folder of its own. */
export async function swift(): Promise<S3Server> {
  const folder = await temporaryFolder('swift');
  const port = await freePort(5);
  const ports = {
    account: port,
    container: port + 1,
    object: port + 2,
    memcached: port + 3,
    proxy: port + 4,
  };
  await configure(folder.path, ports);
  const servers = await startAll(folder.path, ports).catch((error: unknown) => {
    folder.remove();
    throw error;
  });
  const endpoint = `http://${HOST}:${ports.proxy}`;
  return s3Server({ endpoint, accessKey: ACCESS_KEY, secretKey: SECRET_KEY }, async () => {
    await stopAll(servers);
    folder.remove();
  });
}

type Ports = Readonly<Record<Kind | 'memcached' | 'proxy', number>>;

async function configure(path: string, ports: Ports): Promise<void> {
  await mkdir(join(path, 'devices', 'd1'), { recursive: true });
  await write(path, 'swift.conf', {
    'swift-hash': { swift_hash_path_suffix: 'stowage', swift_hash_path_prefix: 'stowage' },
    'storage-policy:0': { name: 'Policy-0', default: 'yes' },
  });
  for (const kind of KINDS)
    await write(path, `${kind}-server.conf`, {
      DEFAULT: { ...common(path, ports[kind]), devices: join(path, 'devices'), mount_check: 'false' },
      'pipeline:main': { pipeline: `${kind}-server` },
      // An update of a listing that takes longer is left to a daemon which is not here: it would never be seen.
      [`app:${kind}-server`]: {
        use: `egg:swift#${kind}`,
        container_update_timeout: '30',
        network_chunk_size: String(MiB),
        disk_chunk_size: String(MiB),
      },
    });
  await write(path, 'proxy-server.conf', proxyConfiguration(path, ports));
}

/** One process without workers, which writes its log to standard error. */
function common(path: string, port: number): Record<string, string> {
  return {
    bind_ip: HOST,
    bind_port: String(port),
    workers: '0',
    user: process.getuid?.() === 0 ? 'root' : '',
    swift_dir: path,
    log_level: 'WARNING',
    // Swift refuses writes on a disk with less than this left, by default one percent.
    fallocate_reserve: '0',
    disable_fallocate: 'true',
    eventlet_debug: 'false',
    max_clients: '4096',
    client_timeout: '120',
    conn_timeout: '10',
    node_timeout: '60',
  };
}

function proxyConfiguration(path: string, ports: Ports): Sections {
  const filters = ['catch_errors', 'gatekeeper', 'healthcheck', 'cache', 'bulk', 's3api', 'tempauth', 'copy'];
  const pipeline = [...filters, 'slo', 'dlo', 'symlink', 'proxy-server'].join(' ');
  const plain = ['catch_errors', 'gatekeeper', 'healthcheck', 'bulk', 'copy', 'dlo', 'symlink'];
  return {
    DEFAULT: common(path, ports.proxy),
    'pipeline:main': { pipeline },
    'app:proxy-server': {
      use: 'egg:swift#proxy',
      allow_account_management: 'true',
      account_autocreate: 'true',
      node_timeout: '60',
      conn_timeout: '10',
      // Python does something for each piece.
      object_chunk_size: String(MiB),
      client_chunk_size: String(MiB),
      // The only server there is stays in use, however often connections to it were cut.
      error_suppression_interval: '0',
      error_suppression_limit: '1000000',
    },
    ...Object.fromEntries(plain.map((name) => [`filter:${name}`, { use: `egg:swift#${name}` }])),
    'filter:cache': { use: 'egg:swift#memcache', memcache_servers: `${HOST}:${ports.memcached}` },
    'filter:slo': { use: 'egg:swift#slo', min_segment_size: '1', max_manifest_segments: '10000' },
    'filter:s3api': {
      use: 'egg:swift#s3api',
      location: REGION,
      check_bucket_owner: 'false',
      max_upload_part_num: '10000',
    },
    'filter:tempauth': { use: 'egg:swift#tempauth', user_test_tester: `${SECRET_KEY} .admin` },
  };
}

type Sections = Readonly<Record<string, Readonly<Record<string, string>>>>;

async function write(path: string, name: string, sections: Sections): Promise<void> {
  const lines = Object.entries(sections).flatMap(([title, settings]) => [
    `[${title}]`,
    ...Object.entries(settings).map(([key, value]) => `${key} = ${value}`),
  ]);
  await writeFile(join(path, name), `${lines.join('\n')}\n`);
}

async function startAll(path: string, ports: Ports): Promise<Server[]> {
  const outcomes = await Promise.allSettled([startMemcached(ports.memcached), startCluster(path, ports)]);
  const started = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return started;
  await stopAll(started);
  throw failed.reason;
}

async function startCluster(path: string, ports: Ports): Promise<Server> {
  const storage = KINDS.flatMap((kind) => [kind, String(ports[kind])]);
  const ready = async () => {
    for (const kind of [...KINDS, 'proxy'] as const) await answers(ports[kind]);
    return true;
  };
  return await launch(PYTHON, ['-c', CLUSTER, path, HOST, ...storage], ready);
}

/** Creating a bucket fails without it. */
async function startMemcached(port: number): Promise<Server> {
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : [];
  const options = ['-l', HOST, '-p', String(port), '-U', '0', ...user];
  return await launch('memcached', options, async () => await listens(port));
}

async function stopAll(servers: readonly Server[]): Promise<void> {
  const ends = servers.map(async (server) => await server.stop());
  await Promise.all(ends);
}

/** Any answer will do: the storage servers know no path for this. */
async function answers(port: number): Promise<void> {
  const response = await fetch(`http://${HOST}:${port}/healthcheck`);
  await response.body?.cancel();
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, HOST);
  await once(socket, 'connect');
  socket.destroy();
  return true;
}
