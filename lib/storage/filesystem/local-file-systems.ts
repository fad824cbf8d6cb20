import fs from 'node:fs';

/**
 * The types of file systems (statfs(2), `f_type`) that answer from the kernel's cache alone, if it has what is asked for. All
 * others may ask a server or a program, as NFS does at each open.
 */
const localTypes: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0xf2f52010, // F2FS
  0x2fc12fc1, // ZFS
  0x01021994, // tmpfs
]);

export function isLocalType(type: number): boolean {
  return localTypes.has(type);
}

/** How long a type is believed: the number of a device without a disk may be given to another mount. */
const believedMs = 60_000;

/** Most devices that are remembered. */
const maxDevices = 100;

interface Known {
  /** Undefined while it is being asked. */
  readonly isLocal: boolean | undefined;
  readonly until: number;
}

/** Which devices are local file systems. */
export class LocalFileSystems {
  readonly #devices = new Map<bigint, Known>();

  /**
   * Whether a device is known to be one; if unknown, finds out for later calls.
   * @param path of a file on it
   */
  has(device: bigint, path: string): boolean {
    const known = this.#devices.get(device);
    if (known !== undefined && performance.now() < known.until) return known.isLocal === true;
    this.#set(device, undefined);
    fs.statfs(path, (error, stats) => {
      if (error === null) this.#set(device, isLocalType(stats.type));
      else this.#devices.delete(device);
    });
    return false;
  }

  #set(device: bigint, isLocal: boolean | undefined): void {
    if (this.#devices.size >= maxDevices) this.#devices.clear();
    this.#devices.set(device, { isLocal, until: performance.now() + believedMs });
  }
}
